"""Costs of runs: the labels they use, and the time and compute that stored runs let expect of others."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.cores import uses_low
from mfbench.benchmarks.harness.prepare import PlannedRun, split_of, task_of
from mfbench.benchmarks.harness.rules import selected_by
from mfbench.mfcore.cores.registry import DEFAULT, core_class
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.fidelity import Label, LabelSet
from mfbench.strategies.registry import arm_class

if TYPE_CHECKING:
    from ase import Atoms

    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.benchmarks.tasks.base import Task
    from mfbench.mfcore.data.training_set import TrainingSet


SMALL_US, RELEASED_US = 800.0, 10_000.0
"""µs of an atom gradient of a peer's network of two layers and 16 channels, and of a released one (SevenNet-0)."""


@dataclass(frozen=True)
class LabelsUsed:
    """Frames whose labels of one fidelity a run uses, to train or to select on."""

    fidelity: str
    frames: Sequence[Atoms]
    labels: LabelSet


def labels_used(
    training: TrainingSet, *, uses_low: bool, low_of_high: Collection[str] = (), selection: str = ""
) -> list[LabelsUsed]:
    """List the labels that a run uses.

    Parameters
    ----------
    uses_low
        Whether the arm learns from LF labels.
    low_of_high
        Low fidelities whose labels it needs of the HF frames, too (Δ on labels: trained on and selected on).
    selection
        Rule by which its weights are kept; "low_forces" looks at LF forces of the validation frames if HF has none.
    """
    high = training.high
    selected = [*training.train[high], *training.validation]
    used = [LabelsUsed(high, selected, training.labels[high])]
    for low in training.low if uses_low else ():
        frames = list(training.train[low])
        more: Sequence[Atoms] = selected if low in low_of_high else ()
        if selection == "low_forces" and low == training.low[-1] and Label.FORCES not in training.labels[high]:
            more = more or training.validation
        known = {id_of(a) for a in frames}
        frames += [a for a in more if id_of(a) not in known]
        used.append(LabelsUsed(low, frames, training.labels[low]))
    return used


def labels_of(spec: RunSpec, low_of_high: Collection[str] | None = None) -> list[LabelsUsed]:
    """List the labels that a run uses; `low_of_high` as its potential asks for, or else as its arm declares."""
    split, arm = split_of(spec), arm_class(spec.arm)
    training = split.ceiling if spec.all_high else split.training
    if low_of_high is None:
        low_of_high = training.low[-1:] if arm.needs_paired else ()
    rule = spec.regime.selection
    if rule == "default":
        rule = selected_by(spec.settings)
    learns = uses_low(spec.arm, checkpoint=spec.chosen_core.checkpoint is not None)
    return labels_used(training, uses_low=learns, low_of_high=low_of_high, selection=rule)


def label_cost(task: Task, used: Iterable[LabelsUsed]) -> float:
    """CPU time of labels when they were computed, s; NaN if the task does not know one of them.

    A label on whose calculation another one's started (:attr:`mfbench.benchmarks.tasks.base.Task.starts_from`) is paid
    with that one.
    """
    parts = list(used)
    paid = {(fidelity, id_of(a)) for p in parts if (fidelity := task.starts_from.get(p.fidelity)) for a in p.frames}
    return float(
        sum(
            task.label_cost([a for a in p.frames if (p.fidelity, id_of(a)) not in paid], p.fidelity, p.labels)
            for p in parts
        )
    )


class LabelPool:
    """Labels that several runs use, each counted once: of one frame and fidelity, all kinds asked for by any run."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._frames: dict[tuple[str, str], dict[str, tuple[Atoms, frozenset[Label]]]] = defaultdict(dict)

    def add(self, name: str, task: Task, used: Iterable[LabelsUsed]) -> None:
        """Count labels of a task; `name` tells tasks apart."""
        self._tasks[name] = task
        for part in used:
            known = self._frames[name, part.fidelity]
            for atoms in part.frames:
                before = known[id_of(atoms)][1] if id_of(atoms) in known else frozenset()
                known[id_of(atoms)] = (atoms, before | part.labels.labels)

    def n_frames(self) -> dict[str, int]:
        """Number of labelled frames by "task fidelity"."""
        return {f"{name} {fidelity}": len(frames) for (name, fidelity), frames in self._frames.items()}

    def cost(self) -> float:
        """CPU time of all of them, s; NaN if it is not known of one."""
        return float(sum(self.cost_by_task().values()))

    def cost_by_task(self) -> dict[str, float]:
        """CPU time of each task's labels, s; NaN if it is not known of one of them."""
        totals: dict[str, float] = defaultdict(float)
        for (name, fidelity), frames in self._frames.items():
            by_kind: dict[frozenset[Label], list[Atoms]] = defaultdict(list)
            task = self._tasks[name]
            dearer = [high for high, low in task.starts_from.items() if low == fidelity]
            paid = {key for high in dearer for key in self._frames.get((name, high), {})}
            for key, (atoms, labels) in frames.items():
                if key not in paid:
                    by_kind[labels].append(atoms)
            totals[name] += sum(task.label_cost(chosen, fidelity, LabelSet(kinds)) for kinds, chosen in by_kind.items())
        return {name: float(total) for name, total in totals.items()}


@dataclass(frozen=True)
class Expected:
    """Expected cost of a run: wall and CPU time in s, and atom gradients.

    `measured` says whether it follows from stored runs; else it is the preset's guess for the whole budget.
    """

    wall_s: float
    cpu_s: float
    atom_gradients: float
    measured: bool


class Rates:
    """Cost per unit of budget, by task, core, arm and rule, from the finished runs of a store.

    Raises
    ------
    DataError
        If a stored run cannot be read.
    """

    def __init__(self, store: RunStore) -> None:
        self._known: dict[tuple[str, str, str, int | None], list[tuple[float, float, float]]] = defaultdict(list)
        for key in store.current_keys():
            stored = store.load(key)
            if stored.status != "finished":
                continue
            identity, costs = stored.record["identity"], stored.record["costs"]
            spent, budget = costs["train_atom_gradients"] or 0.0, identity["budget_atom_gradients"]
            core = stored.record["cell"].get("core", DEFAULT)
            cell = (identity["task"], core, identity["arm"], identity.get("budget_patience"))
            wall = stored.record["wall_s"]
            self._known[cell].append((wall / budget, (costs["train_cpu_s"] or wall) / budget, spent / budget))

    def expect(self, spec: RunSpec) -> Expected:
        """Expect of a run what stored ones of its task, core, arm and rule took for their budgets."""
        known = self._known.get((spec.task, spec.core_name, spec.arm, spec.patience))
        if not known:
            guess = 1e-6 * spec.budget * max(spec.expected_us_per_atom_gradient, _guess_of_peers(spec))
            return Expected(guess, guess, spec.budget, measured=False)
        wall, cpu, spent = (sum(column) / len(known) * spec.budget for column in zip(*known, strict=True))
        return Expected(wall, cpu, spent, measured=True)


def _guess_of_peers(spec: RunSpec) -> float:
    """µs of an atom gradient of a network of another package, on one thread; 0 for our own."""
    core = spec.chosen_core
    if not core_class(core.name).package:
        return 0.0
    return SMALL_US if core.checkpoint is None else RELEASED_US


def makespan(durations: Iterable[float], workers: int) -> float:
    """Time until all jobs are done when each worker takes the longest that is left, in the unit of `durations`."""
    busy = [0.0] * max(1, workers)
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(busy, busy[0] + duration)
    return max(busy)


def task_name(run: PlannedRun) -> str:
    """Name of a run's task in a label pool."""
    options = run.spec.options
    return run.spec.task + (" " + " ".join(str(v) for v in options.values() if v) if options else "")


def pool_of(runs: Iterable[PlannedRun]) -> LabelPool:
    """Pool the labels of runs."""
    pool = LabelPool()
    for run in runs:
        pool.add(task_name(run), task_of(run.spec), labels_of(run.spec))
    return pool


def known(value: float) -> float | None:
    """A number for JSON: None instead of NaN."""
    return value if math.isfinite(value) else None
