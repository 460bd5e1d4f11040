"""`mfbench fit`: train one arm on a user's own files."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.levels import High, HighName, Level, Low, LowName
from mfbench.benchmarks.cli.reading import AcceptFaults, Block, EnergyKey, ForcesKey, GroupKey, StressKey
from mfbench.benchmarks.cli.settings import Tuned
from mfbench.benchmarks.cli.starting import Checkpoint, Trust
from mfbench.benchmarks.cli.time_budget import Time, fit_within_time, seconds_of
from mfbench.mfcore.training.budget import LARGEST_BUDGET

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

    from mfbench.benchmarks.cli.costs import duration
    from mfbench.benchmarks.cli.progress import FitProgress, telling_on
    from mfbench.benchmarks.harness.timing import first_budget
    from mfbench.benchmarks.user.fit import FitQuestion, plan_fit
    from mfbench.benchmarks.user.fitted import check_free, train_into, untrained, work_folder
    from mfbench.benchmarks.user.networks import chosen_cores
    from mfbench.benchmarks.user.options import reading_of, roles_of, task_options
    from mfbench.benchmarks.user.settings_file import read_settings
    from mfbench.mfcore.locks import only_writer_of
    from mfbench.mfcore.provenance import digest
    from mfbench.mfcore.training.budget import Budget
    from mfbench.strategies.registry import make_arm

    started, seconds = clock.perf_counter(), seconds_of(time, budget)
    with only_writer_of(out):
        check_free(out)
        own = read_settings(settings)
        for entry in chosen_cores(None if core is None else [core], checkpoint, own, trust_checkpoint):
            own = entry.over(own)
        reading = reading_of(energy_key, forces_key, stress_key, group_key, block, roles_of(level))
        question = FitQuestion(
            arm,
            task_options(low, high, low_name, high_name, level, reading),
            seed=seed,
            validation_fraction=validation_fraction,
            settings=own,
            settings_file=settings,
            tuned=tuned,
            accept_faults=accept_faults,
        )
        console = Console(stderr=True)
        telling = telling_on(console)
        plan = plan_fit(question, telling)
        data, work = plan.data, work_folder(out)
        made = not work.exists()
        spend = budget or plan.default_budget
        if seconds is not None and time is not None:
            resolved = plan.strategy.settings.model_dump(mode="json")
            spend = fit_within_time(
                console,
                lambda some: make_arm(arm, plan.settings).fit(data, Budget(some), seed),
                first_budget(data),
                digest([arm, resolved, plan.task.data_hashes(), seed, validation_fraction]),
                work,
                time_s=seconds,
                text=time,
                started=started,
            )
        plan.say_budget(telling, spend)
        if not made and any(work.iterdir()):
            telling.say(
                f"Checkpoints of a fit that was stopped are in {work}: it goes on from those of these settings."
            )
        with FitProgress(console, spend) as progress:
            potential = train_into(out, plan, Budget(spend), made, progress)
    ledger = potential.ledger
    telling.say(
        f"Saved to {out}: {ledger.n_parameters} parameters, {ledger.atom_gradients:.3g} atom gradients in "
        f"{duration(ledger.wall_s)}."
    )
    if failed := untrained(potential, len(data.validation)):
        console.print(f"[yellow]It has failed to train:[/yellow] {failed}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
