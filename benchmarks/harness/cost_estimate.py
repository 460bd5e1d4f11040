"""Estimate of a preset before anything runs: regimes, runs, time, label cost and compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.harness.cost import Expected, Rates, known, makespan, pool_of
from mfbench.mfcore.training.budget import Budget

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.benchmarks.harness.runner import Pending
    from mfbench.benchmarks.harness.store import RunStore


@dataclass(frozen=True)
class Spending:
    """Expected cost of runs that are not stored.

    Attributes
    ----------
    wall_s
        Until all are done, on the stated number of workers, s.
    cpu_s
        CPU time of all, s.
    atom_gradients
        Training compute of all; under rule "converged" at most that.
    measured_runs, runs
        How many of the runs stored ones stand for, and how many they are.
    """

    wall_s: float
    cpu_s: float
    atom_gradients: float
    measured_runs: int
    runs: int


@dataclass(frozen=True)
class RegimeEstimate:
    """The runs of one task, core and regime (HF set size included; the ceiling's is "all").

    `label_cost_cpu_s` is the CPU time, in s, of all labels that any of its runs trains or selects on, each counted
    once; None if the task does not know it. `spending` is of the runs to do.
    """

    task: str
    core: str
    regime: dict[str, Any]
    arms: list[str]
    seeds: list[int]
    draws: list[int]
    budgets: list[Budget]
    runs: int
    stored: int
    failed: int
    label_cost_cpu_s: float | None
    spending: Spending


@dataclass(frozen=True)
class CostEstimate:
    """A whole plan beside what is stored; costs as in :class:`RegimeEstimate`, over all regimes.

    `label_cost_cpu_s` is less than the sum over regimes where these share frames; it is given by task, too.
    `n_labelled` counts the frames by task and fidelity.
    """

    preset: str
    workers: int
    regimes: list[RegimeEstimate]
    runs: int
    stored: int
    failed: int
    label_cost_cpu_s: float | None
    label_cost_cpu_s_by_task: dict[str, float | None]
    n_labelled: dict[str, int]
    spending: Spending

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = asdict(self)
        for regime, own in zip(values["regimes"], self.regimes, strict=True):
            regime["budgets"] = [
                {"rule": b.rule, "atom_gradients": b.atom_gradients, "patience": b.patience} for b in own.budgets
            ]
        return values


def cost_estimate(planned: Sequence[PlannedRun], pending: Pending, store: RunStore, workers: int) -> CostEstimate:
    """Sum up a plan.

    Parameters
    ----------
    planned
        All runs.
    pending
        Which of them are stored, failed or to do.
    store
        Stored runs, to learn costs from.
    workers
        Runs computed at once.

    Raises
    ------
    DataError
        If a stored run cannot be read.
    """
    rates = Rates(store)
    expected = {run.key: rates.expect(run.spec) for run in pending.todo}
    stored = {run.key for run in pending.stored}
    failed = {run.key for run, _ in pending.failed}
    groups: dict[str, list[PlannedRun]] = defaultdict(list)
    for run in planned:
        cell = run.spec.cell()
        groups[repr((cell["task"], cell["options"], _regime(run), run.spec.core_name))].append(run)
    regimes = [
        RegimeEstimate(
            task=runs[0].spec.task,
            core=runs[0].spec.core_name,
            regime=_regime(runs[0]),
            arms=list(dict.fromkeys(run.spec.arm for run in runs)),
            seeds=sorted({run.spec.seed for run in runs}),
            draws=sorted({run.spec.draw for run in runs}),
            budgets=list(dict.fromkeys(Budget(run.spec.budget, run.spec.patience) for run in runs)),
            runs=len(runs),
            stored=sum(run.key in stored for run in runs),
            failed=sum(run.key in failed for run in runs),
            label_cost_cpu_s=known(pool_of(runs).cost()),
            spending=_spending([expected[run.key] for run in runs if run.key in expected], workers),
        )
        for runs in groups.values()
    ]
    first = {name: number for number, name in reversed(list(enumerate(regime.task for regime in regimes)))}
    regimes.sort(key=lambda regime: (first[regime.task], regime.regime["n_high"] == "all"))
    pool = pool_of(planned)
    return CostEstimate(
        preset=planned[0].spec.preset,
        workers=workers,
        regimes=regimes,
        runs=len(planned),
        stored=len(stored),
        failed=len(failed),
        label_cost_cpu_s=known(pool.cost()),
        label_cost_cpu_s_by_task={name: known(cost) for name, cost in pool.cost_by_task().items()},
        n_labelled=pool.n_frames(),
        spending=_spending(list(expected.values()), workers),
    )


def _regime(run: PlannedRun) -> dict[str, Any]:
    """Regime of a run with all axes that a table of the plan may have."""
    spec = run.spec
    return {**spec.cell()["regime"], "selection": spec.regime.selection, "budget": spec.budget_name}


def _spending(expected: Sequence[Expected], workers: int) -> Spending:
    return Spending(
        wall_s=makespan([e.wall_s for e in expected], workers),
        cpu_s=sum(e.cpu_s for e in expected),
        atom_gradients=sum(e.atom_gradients for e in expected),
        measured_runs=sum(e.measured for e in expected),
        runs=len(expected),
    )
