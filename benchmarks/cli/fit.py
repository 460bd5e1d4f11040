"""`mfbench fit`: train one arm on a user's own files."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli.levels import (
    High,
    HighName,
    Level,
    Low,
    LowName,
    names_of_low,
    roles_of,
    target_only,
    task_options,
)
from mfbench.benchmarks.cli.reading import (
    AcceptFaults,
    Block,
    EnergyKey,
    ForcesKey,
    GroupKey,
    StressKey,
    check_faults,
    reading_of,
    say,
)
from mfbench.benchmarks.cli.settings import Tuned
from mfbench.benchmarks.cli.starting import Checkpoint, Trust, chosen_cores, say_start
from mfbench.benchmarks.cli.time_budget import Time, fit_within_time, seconds_of
from mfbench.mfcore.training.budget import LARGEST_BUDGET

if TYPE_CHECKING:
    from rich.console import Console

    from mfbench.mfcore.data.training_set import TrainingSet
    from mfbench.mfcore.potentials.potential import Potential
    from mfbench.mfcore.training.budget import Budget
    from mfbench.strategies.base import Strategy


EXAMPLES = """Examples:

mfbench fit --arm multi_fidelity --low dft.xyz --high ccsdt.xyz --out model

mfbench fit --arm single_fidelity --high ccsdt.xyz --time 30min --out model

mfbench fit --arm transfer --core sevennet --checkpoint SevenNet-MF-0:PBE --high r2scan.xyz --out model

mfbench fit --arm transfer --level dft=dft.xyz --level mp2=mp2.xyz --level ccsdt=ccsdt.xyz --out model"""


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("fit", epilog=EXAMPLES)(fit)


def fit(
    arm: Annotated[str, typer.Option(help="Arm to train (mfbench list arms).")],
    out: Annotated[Path, typer.Option(help="Folder of the potential; must not exist.")],
    low: Low = None,
    high: High = None,
    level: Level = None,
    low_name: LowName = None,
    high_name: HighName = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=LARGEST_BUDGET,
            help="Atom gradients.",
            show_default="200 passes over all atoms, 1e6 to 3e7, and at least 8000 optimiser steps",
        ),
    ] = None,
    time: Time = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, frame order and choice of validation groups.")] = 0,
    validation_fraction: Annotated[
        float,
        typer.Option(min=0.01, max=0.9, help="Share of the HF frames that the model is selected on, but at least 4."),
    ] = 0.1,
    core: Annotated[
        str | None, typer.Option(help="Network (mfbench list cores).", show_default="the one of the settings")
    ] = None,
    checkpoint: Checkpoint = None,
    trust_checkpoint: Trust = False,
    settings: Annotated[Path | None, typer.Option(help="YAML file with settings of the arm.")] = None,
    tuned: Tuned = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    group_key: GroupKey = None,
    block: Block = None,
    accept_faults: AcceptFaults = False,
) -> None:
    """Train one arm on your own files.

    In Python: mfbench.load("model").calculator(fidelity="high") is an ASE calculator. A fit that is killed goes on
    from its checkpoint when the same command is given again. One that has failed to train, being no better than a
    constant, is kept, and ends with exit code 1.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.progress import Preparation
    from mfbench.benchmarks.cli.settings import read_settings, settings_from
    from mfbench.benchmarks.harness import default_budget
    from mfbench.benchmarks.harness.cores import core_of, lacking, uses_low
    from mfbench.benchmarks.harness.timing import first_budget
    from mfbench.benchmarks.harness.user_data import not_served, training_set
    from mfbench.benchmarks.harness.user_tuned import tuned_for
    from mfbench.benchmarks.tasks.user import UserTask
    from mfbench.mfcore.errors import ConfigError
    from mfbench.mfcore.locks import only_writer_of
    from mfbench.mfcore.provenance import digest
    from mfbench.mfcore.training.budget import Budget
    from mfbench.strategies.registry import arm_class, make_arm

    started, seconds = clock.perf_counter(), seconds_of(time, budget)
    with only_writer_of(out):
        if out.exists():
            _sweep(out)
            raise ConfigError(f"{out}: exists already; remove it or give another --out.")
        own = read_settings(settings)
        for entry in chosen_cores(None if core is None else [core], checkpoint, own, trust_checkpoint):
            own = entry.over(own)
        reading = reading_of(energy_key, forces_key, stress_key, group_key, block, roles_of(level))
        options = task_options(low, high, low_name, high_name, level, reading)
        lows = names_of_low(options)
        network = core_of(own)
        starts = network.checkpoint is not None
        if reason := lacking(arm, network.name, network.checkpoint) or not_served(arm, len(lows), starts):
            raise ConfigError(f"arm '{arm}': {reason}.")
        console = Console(stderr=True)
        with settings_from(settings):
            strategy = make_arm(arm, own)
        if lows and not uses_low(arm, network):
            instead = " and a checkpoint" if starts and arm_class(arm).only_low_stage else ""
            say(console, [f"{arm} learns from HF labels{instead} alone: {', '.join(lows)} is not read"])
            options = target_only(options)
        with Preparation(console) as told:
            task = UserTask(**options, told=told, keep=True)
        say(console, [*task.notes, *check_faults(task.faults, accept_faults)])
        if tuned is not None:
            found = tuned_for(tuned, own, task.fidelities, [arm], [core_of(own).name])
            say(console, found.notes)
            own = dict(found.settings[arm])
            strategy = make_arm(arm, own)
        data = training_set(task, validation_fraction, seed)
        say(console, [selected(len(data.validation), len(task.candidates), validation_fraction)])
        resolved = strategy.settings.model_dump(mode="json")
        say_start(console, resolved, data.train[data.high], data.high, data.labels[data.high])
        work, training = _work(out), [strategy.settings.training]
        made = not work.exists()
        spend = budget or default_budget.OF_FIT.atom_gradients(task.frames, training)
        if seconds is not None and time is not None:
            spend = fit_within_time(
                console,
                lambda some: make_arm(arm, own).fit(data, Budget(some), seed),
                first_budget(data),
                digest([arm, strategy.settings.model_dump(mode="json"), task.data_hashes(), seed, validation_fraction]),
                work,
                time_s=seconds,
                text=time,
                started=started,
            )
        said = default_budget.in_words(spend, task.frames, training)
        console.print(said, highlight=False, soft_wrap=True)
        _fit(strategy, data, Budget(spend), seed, out, work, made, console)


def selected(n: int, n_high: int, fraction: float) -> str:
    """Say how many HF frames select the model, and by what rule."""
    from mfbench.benchmarks.tasks.user import LEAST

    share, wanted = f"{fraction:.3g} of them (--validation-fraction)", round(fraction * n_high)
    rule = f"at least {LEAST}, since {share} are {wanted}" if wanted < LEAST else share
    return f"{n} of {n_high} HF frames are not trained on and select the model: {rule}, by whole groups"


def _fit(
    strategy: Strategy,
    data: TrainingSet,
    spend: Budget,
    seed: int,
    out: Path,
    work: Path,
    made: bool,
    console: Console,
) -> None:
    """Train in a work folder beside `out`, which a fault of the disk or a signal leaves to go on from.

    `made` says whether the folder is this call's own, and goes when the training is not possible.
    """
    import shutil

    from mfbench.benchmarks.cli.costs import duration
    from mfbench.benchmarks.cli.progress import FitProgress
    from mfbench.mfcore.errors import MfbenchError, StorageError
    from mfbench.mfcore.files import make_folder
    from mfbench.mfcore.potentials.potential import ENERGY_ERRORS
    from mfbench.strategies.checks import learned_energies

    counts = ", ".join(f"{len(frames)} {name} ({data.labels[name]})" for name, frames in data.train.items())
    arm = strategy.name
    console.print(f"Training {arm} on {counts}; {len(data.validation)} for selection.", highlight=False, soft_wrap=True)
    make_folder(work)
    try:
        with FitProgress(console, spend.atom_gradients) as progress:
            potential = strategy.fit(data, spend, seed, progress=progress, workdir=work)
        learned = learned_energies(potential, data)
        if learned is not None:
            potential.record[ENERGY_ERRORS] = learned._asdict() | {"learned": learned.enough}
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
    if learned is not None and not learned.enough:
        console.print(
            f"[yellow]It has failed to train:[/yellow] on the {len(data.validation)} frames that selected it, energies "
            f"are wrong by {1e3 * learned.found:.3g} meV/atom, those of a constant (the mean by composition) by "
            f"{1e3 * learned.constant:.3g}. Give a larger --budget, or more labels.",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


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
