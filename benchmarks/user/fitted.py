"""Training of a planned fit, and the folder of its potential, which appears whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from mfbench.benchmarks.user.fit import FitPlan
from mfbench.mfcore.errors import ConfigError, MfbenchError, StorageError
from mfbench.mfcore.files import make_folder, rename_folder, write_text
from mfbench.mfcore.potentials.potential import ENERGY_ERRORS, Potential
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.progress import Progress, silent
from mfbench.strategies.checks import learned_energies

#: In the work folder from when the potential is complete, so that what a kill leaves of it is known to be needless.
SAVED = "saved"


def work_folder(out: Path) -> Path:
    """Return the folder beside `out` that checkpoints of its fit lie in."""
    return out.with_name(out.name + ".partial")


def check_free(out: Path) -> None:
    """Refuse a name that is taken; what a fit left that was killed after its potential had got its name is dropped.

    Raises
    ------
    ConfigError
        If there is something of this name.
    """
    if not out.exists():
        return
    work = work_folder(out)
    if (work / SAVED).exists() or (work.is_dir() and not any(work.iterdir())):
        _drop(work)
    raise ConfigError(f"{out}: exists already; remove it or give another --out.")


def train(plan: FitPlan, budget: Budget, progress: Progress = silent, workdir: Path | None = None) -> Potential:
    """Train a planned fit; the record of the potential says whether its energies are better than a constant."""
    potential = plan.strategy.fit(plan.data, budget, plan.seed, progress=progress, workdir=workdir)
    learned = learned_energies(potential, plan.data)
    if learned is not None:
        potential.record[ENERGY_ERRORS] = learned._asdict() | {"learned": learned.enough}
    return potential


def train_into(out: Path, plan: FitPlan, budget: Budget, made: bool, progress: Progress = silent) -> Potential:
    """Train in a work folder beside `out`, which a fault of the disk or a signal leaves to go on from, and save there.

    Parameters
    ----------
    made
        Whether the work folder is this call's own, and goes when the training is not possible.
    """
    work = work_folder(out)
    make_folder(work)
    try:
        potential = train(plan, budget, progress, work)
        _save(potential, out, work)
    except (StorageError, OSError):
        if not any(work.iterdir()):
            work.rmdir()
        raise
    except MfbenchError:
        if made:
            shutil.rmtree(work, ignore_errors=True)
        raise
    return potential


def untrained(potential: Potential, n_validation: int) -> str:
    """Say by how much a potential is no better than a constant; "" if it is better, or that cannot be told."""
    found = potential.record.get(ENERGY_ERRORS)
    if found is None or found["learned"]:
        return ""
    return (
        f"on the {n_validation} frames that selected it, energies are wrong by {1e3 * found['found']:.3g} meV/atom, "
        f"those of a constant (the mean by composition) by {1e3 * found['constant']:.3g}. Give a larger --budget, or "
        "more labels."
    )


def _save(potential: Potential, out: Path, work: Path) -> None:
    """Write into the work folder, then put it in its place in one step and drop the checkpoints."""
    fresh = work / "potential"
    shutil.rmtree(fresh, ignore_errors=True)
    (work / SAVED).unlink(missing_ok=True)
    try:
        potential.save(fresh)
        write_text(work / SAVED, "")
        rename_folder(fresh, out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        (work / SAVED).unlink(missing_ok=True)
        raise
    _drop(work)


def _drop(work: Path) -> None:
    """Remove a work folder whose potential has its name; the mark goes last, so that a kill leaves known remains."""
    for path in work.iterdir():
        if path.name != SAVED:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
