"""`mfbench fit`: train one arm on a user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli.reading import Block, EnergyKey, ForcesKey, GroupKey, StressKey, reading_of, say

if TYPE_CHECKING:
    from rich.console import Console

    from mfbench.mfcore.data.training_set import TrainingSet
    from mfbench.mfcore.potentials.potential import Potential
    from mfbench.mfcore.training.budget import Budget
    from mfbench.strategies.base import Strategy


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("fit", epilog="Example: mfbench fit --arm multi_fidelity --low dft.xyz --high ccsdt.xyz --out model")(
        fit
    )


def fit(
    arm: Annotated[str, typer.Option(help="Arm to train (mfbench list arms).")],
    low: Annotated[Path, typer.Option(help="Frames with LF labels (extended XYZ; energy in eV, forces in eV/Å).")],
    high: Annotated[Path, typer.Option(help="Frames with HF labels.")],
    out: Annotated[Path, typer.Option(help="Folder of the potential; must not exist.")],
    low_name: Annotated[str | None, typer.Option(help="Fidelity to take from the LF file, if it has several.")] = None,
    high_name: Annotated[str | None, typer.Option(help="Fidelity to take from the HF file.")] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Atom gradients.",
            show_default="200 passes over all atoms, 1e6 to 3e7, and at least 8000 optimiser steps",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, frame order and choice of validation groups.")] = 0,
    validation_fraction: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of the HF frames that the model is selected on.")
    ] = 0.1,
    core: Annotated[
        str | None, typer.Option(help="Network (mfbench list cores).", show_default="the one of the settings")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML file with settings of the arm.")] = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    group_key: GroupKey = None,
    block: Block = None,
) -> None:
    """Train one arm on your own files.

    In Python: mfbench.load("model").calculator(fidelity="high") is an ASE calculator. A fit that is killed goes on
    from its checkpoint when the same command is given again.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.progress import Preparation
    from mfbench.benchmarks.cli.settings import read_settings
    from mfbench.benchmarks.harness import default_budget
    from mfbench.benchmarks.harness.cores import core_of, lacking
    from mfbench.benchmarks.harness.user_data import training_set
    from mfbench.benchmarks.tasks.user import UserTask
    from mfbench.mfcore.errors import ConfigError
    from mfbench.mfcore.locks import only_writer_of
    from mfbench.mfcore.training.budget import Budget
    from mfbench.strategies.registry import make_arm

    with only_writer_of(out):
        if out.exists():
            _sweep(out)
            raise ConfigError(f"{out}: exists already; remove it or give another --out.")
        own = read_settings(settings)
        if core is not None:
            own = core_of({"core": core}).over(own)
        if reason := lacking(arm, core_of(own).name):
            raise ConfigError(f"arm '{arm}': {reason}.")
        strategy = make_arm(arm, own)
        console = Console(stderr=True)
        reading = reading_of(energy_key, forces_key, stress_key, group_key, block)
        with Preparation(console) as told:
            task = UserTask(low, high, low_name=low_name, high_name=high_name, reading=reading, told=told)
        say(console, task.notes)
        data = training_set(task, validation_fraction, seed)
        training = [strategy.settings.training]
        budget = budget or default_budget.OF_FIT.atom_gradients(task.frames, training)
        said = default_budget.in_words(budget, task.frames, training)
        console.print(said, highlight=False, soft_wrap=True)
        _fit(strategy, data, Budget(budget), seed, out, console)


def _fit(strategy: Strategy, data: TrainingSet, spend: Budget, seed: int, out: Path, console: Console) -> None:
    """Train in a work folder beside `out`, which a fault of the disk or a signal leaves to go on from."""
    import shutil

    from mfbench.benchmarks.cli.costs import duration
    from mfbench.benchmarks.cli.progress import FitProgress
    from mfbench.mfcore.errors import MfbenchError, StorageError
    from mfbench.mfcore.files import make_folder

    counts = ", ".join(f"{len(frames)} {name} ({data.labels[name]})" for name, frames in data.train.items())
    arm = strategy.name
    console.print(f"Training {arm} on {counts}; {len(data.validation)} for selection.", highlight=False, soft_wrap=True)
    work = _work(out)
    made = not work.exists()
    make_folder(work)
    try:
        with FitProgress(console, spend.atom_gradients) as progress:
            potential = strategy.fit(data, spend, seed, progress=progress, workdir=work)
        _save(potential, out, work)
    except (StorageError, OSError):
        if not any(work.iterdir()):
            work.rmdir()
        raise
    except MfbenchError:
        if made:
            shutil.rmtree(work, ignore_errors=True)
        raise
    ledger = potential.ledger
    console.print(
        f"Saved to {out}: {ledger.n_parameters} parameters, {ledger.atom_gradients:.3g} atom gradients in "
        f"{duration(ledger.wall_s)}.",
        highlight=False,
        soft_wrap=True,
    )


#: In the work folder from when the potential is complete, so that what a kill leaves of it is known to be needless.
SAVED = "saved"


def _work(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _sweep(out: Path) -> None:
    """Drop the work folder of a fit that was killed after its potential had got its name."""
    import shutil

    if (_work(out) / SAVED).exists():
        shutil.rmtree(_work(out), ignore_errors=True)


def _save(potential: Potential, out: Path, work: Path) -> None:
    """Write into the work folder, then put it in its place in one step and drop the checkpoints."""
    import shutil

    from mfbench.mfcore.files import rename_folder, write_text

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
    shutil.rmtree(work, ignore_errors=True)
