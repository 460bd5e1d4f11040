"""One trial: fit an arm with some settings, and take its loss on the HF validation frames. Tests are not looked at."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.harness.prepare import PlannedRun, split_of
from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.errors import DataError, MfbenchError, StorageError, TrainingError
from mfbench.mfcore.fidelity import Label, LabelSet
from mfbench.mfcore.files import make_folder, sweep_folder
from mfbench.mfcore.provenance import digest
from mfbench.mfcore.sealed import read_sealed, write_sealed
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import LossConfig, LossKind
from mfbench.strategies.registry import arm_class

if TYPE_CHECKING:
    from ase import Atoms

SCHEMA = 2
_REMEDY = "Remove it; the trial is then repeated."
_KEYS = ("key", "status", "loss", "atom_gradients", "task", "arm", "budget_atom_gradients", "wall_s")


class TrialStore:
    """Ended trials under one folder: DIR/trials/<key>.json; checkpoints of others in DIR/work/<key>."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where a trial is stored."""
        return self.root / "trials" / f"{key}.json"

    def workdir(self, key: str) -> Path:
        """Where a trial that has not ended keeps its checkpoints."""
        return self.root / "work" / key

    @property
    def shared(self) -> Path:
        """Where trials keep the training stages that they have in common."""
        return self.root / "work" / "shared"

    def sweep(self) -> None:
        """Remove what killed processes have left half-written; for the one who holds the folder's lock."""
        sweep_folder(self.root / "trials", [".json"])
        sweep_folder(self.shared, [".safetensors"])
        for work in self.shared.parent.glob("*"):
            if self.path(work.name).exists():
                shutil.rmtree(work, ignore_errors=True)

    def load(self, key: str) -> dict[str, Any] | None:
        """Read a trial; None if it has not ended.

        Raises
        ------
        DataError
            If its file cannot be read.
        """
        path = self.path(key)
        return _read(path) if path.exists() else None

    def all(self) -> list[dict[str, Any]]:
        """Every stored trial."""
        # a hidden one is half-written: its writer was killed, or goes on
        return [_read(path) for path in sorted((self.root / "trials").glob("[!.]*.json"))]

    def save(self, key: str, record: dict[str, Any]) -> None:
        """Store a trial that ended, and drop its checkpoints."""
        write_sealed(self.path(key), {"schema": SCHEMA, "key": key} | record)
        shutil.rmtree(self.workdir(key), ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    record = read_sealed(path, "the record of a trial", SCHEMA, _REMEDY, keys=_KEYS)
    if record["key"] != path.stem:
        raise DataError("not the trial that its name says.", file=path, key="key", hint=_REMEDY)
    return record


def trial_key(run: PlannedRun, loss: LossConfig) -> str:
    """Key of a trial: all that decides its fit, and the loss that it is judged by."""
    return digest({"trial": run.identity, "loss": loss.model_dump(mode="json")})


def run_trial(
    run: PlannedRun, loss: LossConfig, store: TrialStore, spent: Callable[[float], None], values: dict[str, Any]
) -> dict[str, Any]:
    """Compute a trial, or read it if it has ended before; a failure is a result, too.

    Parameters
    ----------
    run
        The arm with the trial's settings and budget.
    loss
        Weights and forms of the validation loss.
    spent
        Called now and then with the atom gradients spent.
    values
        The tuned values, for the record.

    Returns
    -------
    dict
        status ("finished", "failed"), loss, scores, atom_gradients, wall_s, values, reason (of a failure).
    """
    key = trial_key(run, loss)
    before = store.load(key)
    if before is not None:
        return before
    spending = _Spending(spent)
    started, cpu = time.perf_counter(), time.process_time()
    result: dict[str, Any]
    try:
        value, scores, total = _compute(run, loss, store, key, spending)
        result = {"status": "finished", "loss": value, "scores": scores, "atom_gradients": total}
    except Exception as error:
        if StorageError.within(error) is not None:
            raise
        reason = str(error) if isinstance(error, MfbenchError) else f"{type(error).__name__}: {error}"
        result = {"status": "failed", "reason": reason, "loss": None, "atom_gradients": spending.total}
    record = {
        "task": run.spec.task,
        "arm": run.spec.arm,
        "values": values,
        "budget_atom_gradients": run.spec.budget,
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": run.identity,
    }
    store.save(key, result | record)
    return result | record


class _Spending:
    """Adds up the stages' spending."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._stages: dict[str, float] = {}

    @property
    def total(self) -> float:
        return sum(self._stages.values())

    def __call__(self, stage: str, spent: float, budget: float) -> None:
        self._stages[stage] = spent
        self._report(self.total)


def _compute(
    run: PlannedRun, loss: LossConfig, store: TrialStore, key: str, progress: _Spending
) -> tuple[float, dict[str, float], float]:
    spec, split = run.spec, split_of(run.spec)
    training = split.ceiling if spec.all_high else split.training
    budget = Budget(spec.budget, spec.patience)
    for folder in (store.workdir(key), store.shared):
        make_folder(folder)
    potential = arm_class(spec.arm)(run.settings).fit(
        training, budget, spec.seed, progress=progress, workdir=store.workdir(key), shared=store.shared
    )
    potential.ledger.check(budget)
    value, scores = validation_loss(potential, training.validation, training.high, training.labels[training.high], loss)
    return value, scores, float(potential.ledger.atom_gradients)


def validation_loss(
    potential: Any, frames: Sequence[Atoms], high: str, labels: LabelSet, loss: LossConfig
) -> tuple[float, dict[str, float]]:
    """Loss of a potential on HF frames, by the labels that the regime lets training see.

    Parameters
    ----------
    loss
        Its weights and forms; weights of fidelities have no part in it.

    Returns
    -------
    tuple
        The loss, and mean absolute errors by name (energies in meV/atom, force components in meV/Å).

    Raises
    ------
    TrainingError
        If it is not finite.
    """
    n_atoms = np.array([len(a) for a in frames], dtype=float)
    out = potential.predict(list(frames), high, forces=Label.FORCES in labels, stress=Label.STRESS in labels)
    total, scores = 0.0, {}
    if Label.ENERGY in labels:
        known = np.array([energy_of(a, high) for a in frames]) / n_atoms
        value, mae = _term(loss.energy, out.energies / n_atoms, known, loss.huber_delta)
        total += loss.energy_weight * value
        scores["energy_mae_mev_per_atom"] = 1e3 * mae
    if Label.FORCES in labels:
        known = np.concatenate([forces_of(a, high).ravel() for a in frames])
        value, mae = _term(loss.forces, np.concatenate([np.ravel(f) for f in out.forces]), known, loss.huber_delta)
        total += loss.forces_weight * value
        scores["force_mae_mev_per_A"] = 1e3 * mae
    if Label.STRESS in labels:
        known = np.stack([stress_of(a, high) for a in frames]).ravel()
        total += loss.stress_weight * _term(loss.stress, np.ravel(out.stress), known, loss.huber_delta)[0]
    if not math.isfinite(total):
        raise TrainingError(f"the validation loss is {total}.")
    return float(total), {name: value for name, value in scores.items() if math.isfinite(value)}


def _term(kind: LossKind, predicted: np.ndarray, known: np.ndarray, delta: float) -> tuple[float, float]:
    """Mean loss and mean absolute error over the labels that exist; zero and NaN if there is none."""
    error = np.abs(predicted - known)[np.isfinite(known)]
    if not len(error):
        return 0.0, math.nan
    if kind == "mae":
        return float(error.mean()), float(error.mean())
    square = error**2
    if kind == "huber":
        square = np.where(error <= delta, square, delta * (2 * error - delta))
    return float(square.mean()), float(error.mean())
