"""One run: fit the arm, score the potential, store the rows."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mfbench.benchmarks.harness import frames_used
from mfbench.benchmarks.harness.cores import uses_low
from mfbench.benchmarks.harness.cost import label_cost, labels_of
from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.prepare import PlannedRun, split_of, task_of
from mfbench.benchmarks.harness.rules import selected_by
from mfbench.benchmarks.harness.store import PackedRun, RunStore, packed
from mfbench.benchmarks.observables.checks import checked
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.registry import measured
from mfbench.mfcore.cores.peer import PeerCore
from mfbench.mfcore.data.graphs import forget_neighbour_lists
from mfbench.mfcore.data.splits import SPLIT_RULE
from mfbench.mfcore.errors import ConfigError, LeakageError, MfbenchError, StorageError
from mfbench.mfcore.files import make_folder
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import arm_class

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split
    from mfbench.mfcore.potentials.potential import Potential

log = logging.getLogger("mfbench")

INFERENCE_FRAMES = 64
INFERENCE_REPEATS = 3

_NOTHING = {"split": "", "metric": "", "unit": "", "value": math.nan, "n": 0}


@dataclass(frozen=True)
class RunRequest:
    """A run to compute, and the folder of the store that has its checkpoints."""

    run: PlannedRun
    root: Path


def execute(request: RunRequest, report: Callable[[float], None]) -> PackedRun | StorageError:
    """Compute a run; the caller stores it, so that no two processes ever write one run.

    A failure is returned with its reason, never raised. Of a run in which some observables fail, the others are there,
    and for each that failed a row that counts it.

    Parameters
    ----------
    report
        Called now and then with the atom gradients spent so far.

    Returns
    -------
    PackedRun or StorageError
        A fault of the disk is no end of the run: it can go on later.
    """
    store = RunStore(request.root)
    try:
        return compute(request.run, store.workdir(request.run.key), store.shared, report)
    except Exception as error:
        fault = StorageError.within(error)
        if fault is None:
            raise
        return fault


def compute(
    run: PlannedRun, workdir: Path, shared: Path, report: Callable[[float], None], located: PlannedRun | None = None
) -> PackedRun:
    """Compute a run, as :func:`compute_run` does; a failure is an end of it, too.

    Parameters
    ----------
    located
        The run with the files of its task where they are here, if that is not where the run names them.

    Raises
    ------
    StorageError
        Also within another error: the disk is full or cannot be written to.
    """
    started = time.perf_counter()
    try:
        evaluation, failures, costs, more = compute_run(located or run, workdir, shared, report)
    except (Exception, SystemExit) as error:  # another package's code may try to end the program
        if StorageError.within(error) is not None:
            raise
        reason = _reason(error)
        log.info("run %s (%s) failed: %s", run.key[:12], run.spec.title(), reason)
        return failed(run, reason, traceback.format_exc(), time.perf_counter() - started)
    record = _head(run) | {"wall_s": time.perf_counter() - started, "costs": costs, **more}
    rows = [_row(run, record, costs, "finished", result) for result in evaluation.rows]
    if not failures:
        return packed(run.key, "finished", record, rows, evaluation.details)
    reason = "; ".join(f"observable '{name}': {failure.reason}" for name, failure in failures.items())
    log.info("run %s (%s) failed in part: %s", run.key[:12], run.spec.title(), reason)
    record |= {"reason": reason, "traceback": "\n".join(failure.trace for failure in failures.values())}
    rows += [_row(run, record, costs, "failed", _NOTHING) for _ in failures]
    return packed(run.key, "failed", record, rows, evaluation.details)


@dataclass(frozen=True)
class _Failure:
    """An observable that could not be measured."""

    error: BaseException
    reason: str
    trace: str


def _reason(error: BaseException) -> str:
    """Say what an error of code is, and where: the whole traceback is in the record of the run."""
    if isinstance(error, MfbenchError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return ", ".join([f"{type(error).__name__}: {error} ({where})", *getattr(error, "__notes__", [])])


def failed(run: PlannedRun, reason: str, trace: str, wall_s: float) -> PackedRun:
    """Make a failed run: its reason, and one row without a metric that counts it (`n_failed` 1)."""
    record = _head(run) | {"wall_s": wall_s, "reason": reason, "traceback": trace}
    return packed(run.key, "failed", record, [_row(run, record, {}, "failed", _NOTHING)])


def _head(run: PlannedRun) -> dict[str, Any]:
    return {
        "identity": run.identity,
        "cell": run.spec.cell(),
        "preset": run.spec.preset,
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def compute_run(
    run: PlannedRun, workdir: Path, shared: Path, report: Callable[[float], None]
) -> tuple[Evaluation, dict[str, _Failure], dict[str, Any], dict[str, Any]]:
    """Fit and score.

    Parameters
    ----------
    workdir, shared
        Folders of checkpoints, and of stages that runs have in common; they are made.
    report
        Called now and then with the atom gradients spent so far.

    Returns
    -------
    scores, observables that failed, costs, more for the record
    """
    spec, task, split = run.spec, task_of(run.spec), split_of(run.spec)
    if digest(split.record) != run.identity["split"]:
        raise LeakageError("the split is not the one that the run was planned with: it is not deterministic.")
    training = split.ceiling if spec.all_high else split.training
    budget = Budget(spec.budget, spec.patience)
    for folder in (workdir, shared):
        make_folder(folder)
    strategy = arm_class(spec.arm)(run.settings)
    potential = strategy.fit(training, budget, spec.seed, progress=_SpentInAll(report), workdir=workdir, shared=shared)
    ledger = potential.ledger
    ledger.check(budget)
    if spec.tuning is not None:
        ledger.trials, ledger.trial_atom_gradients = spec.tuning.trials, spec.tuning.atom_gradients
    evaluation, failures = Evaluation([]), {}
    for observable, plan in measured(spec.observables):
        try:
            found = observable.measure(potential, task, split, plan, spec.seed, workdir)
            evaluation = evaluation.and_also(checked(observable, found, task.fidelities[:-1]))
        except (Exception, SystemExit) as error:
            if StorageError.within(error) is not None:
                raise
            error.add_note(f"while observable '{observable.name}' was measured")
            failures[observable.name] = _Failure(error, _reason(error), traceback.format_exc())
    if failures and not evaluation.rows:
        name, first = next(iter(failures.items()))
        if isinstance(first.error, ConfigError):
            raise ConfigError(f"observable '{name}': {first.error}") from first.error
        raise first.error
    if not evaluation.rows:
        raise MfbenchError("the evaluation has no metric: a run without a number does not count as finished.")
    costs = {
        "label_cost_cpu_s": label_cost(task, labels_of(spec, getattr(potential, "requires_low_labels", ()))),
        "train_atom_gradients": float(ledger.atom_gradients),
        "train_steps": float(ledger.steps),
        "train_wall_s": float(ledger.wall_s),
        "train_cpu_s": float(ledger.cpu_s),
        "inference_us_per_atom": inference_cost(potential, split),
        "inference_evaluations": int(ledger.inference_evaluations),
        "n_parameters": int(ledger.n_parameters),
    }
    learns = uses_low(spec.arm, checkpoint=spec.chosen_core.checkpoint is not None)
    used = frames_used.frames_used(task.frames, training, uses_low=learns)
    return (
        Evaluation(evaluation.rows, {**evaluation.details, frames_used.DETAIL: used}),
        failures,
        costs,
        {"ledger": ledger.as_dict(), "potential": potential.record, "split": split.record, **_kernels(potential)},
    )


def _kernels(potential: Potential) -> dict[str, Any]:
    """Say what has computed the networks of other packages; nothing for our own, whose backend is in the key."""
    found = {core.name: core.kernels for core in getattr(potential, "cores", ()) if isinstance(core, PeerCore)}
    return {"kernels": found} if found else {}


class _SpentInAll:
    """Turns progress by stage into atom gradients spent since the run began."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._spent: dict[str, float] = {}

    def __call__(self, stage: str, spent: float, budget: float) -> None:
        self._spent[stage] = spent
        self._report(sum(self._spent.values()))


def inference_cost(potential: Potential, split: Split) -> float:
    """Return the time of energies and forces in µs per atom: the least of a few repeats on test frames.

    Neighbour lists are made anew each time, as for a structure that is seen for the first time. The labels of a cheaper
    level, which a Δ potential adds, are taken as zero: the time is that of networks.
    """
    frames = next(iter(split.tests.values()))[:INFERENCE_FRAMES]
    n_atoms = sum(len(frame) for frame in frames)
    best = math.inf
    base: dict[str, Any] = {"base": _Zero()} if getattr(potential, "requires_low_labels", ()) else {}
    for _ in range(INFERENCE_REPEATS):
        forget_neighbour_lists()
        started = time.perf_counter()
        potential.predict(frames, **base)
        best = min(best, time.perf_counter() - started)
    return best / n_atoms * 1e6


class _Zero(Calculator):
    """A calculator of no energy, forces or stress, in place of a cheaper level."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  as ase declares it

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Answer with zeros, whatever is asked for."""
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3)), "stress": np.zeros(6)}


def _row(
    run: PlannedRun, record: dict[str, Any], costs: dict[str, Any], status: str, result: dict[str, Any]
) -> dict[str, Any]:
    spec, regime = run.spec, run.spec.regime
    unknown = {
        "label_cost_cpu_s": math.nan,
        "train_atom_gradients": math.nan,
        "train_steps": math.nan,
        "train_wall_s": math.nan,
        "train_cpu_s": math.nan,
        "inference_us_per_atom": math.nan,
        "inference_evaluations": 0,
        "n_parameters": 0,
    }
    tuning = spec.tuning
    return {
        "run_key": run.key,
        "task": spec.task,
        "core": spec.core_name,
        "arm": spec.arm,
        "n_low": str(regime.n_low),
        "n_high": str(spec.n_high),
        "labels": regime.labels,
        "pairing": regime.pairing,
        "coverage": regime.coverage,
        "e0": regime.e0,
        "selection": regime.selection,
        "budget": spec.budget_name,
        "seed": spec.seed,
        "draw": spec.draw,
        "selected_by": selected_by(run.settings),
        "split_rule": SPLIT_RULE,
        "starts_from": spec.chosen_core.checkpoint_label if record.get("potential", {}).get("start") else "",
        "split": result["split"],
        "metric": result["metric"],
        "unit": result["unit"],
        "value": float(result["value"]),
        "n": int(result["n"]),
        "n_failed": int(status == "failed"),
        "status": status,
        **unknown,
        **costs,
        "trials": 0 if tuning is None else tuning.trials,
        "trial_atom_gradients": 0.0 if tuning is None else tuning.atom_gradients,
        "mfbench_version": record["versions"]["mfbench"],
        "torch_version": record["versions"]["torch"],
        "date": record["date"],
    }


def versions() -> dict[str, str]:
    """Versions of mfbench and of the libraries that make its numbers."""
    found = {}
    for package in ("mfbench", "torch", "e3nn", "numpy", "ase", "scipy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
