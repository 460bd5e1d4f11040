"""`mfbench compare`: the comparison on a user's own files, and which arm to use on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli.reading import Block, EnergyKey, ForcesKey, GroupKey, StressKey, reading_of, say

if TYPE_CHECKING:
    from mfbench.benchmarks.reports.results import Cell


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("compare", epilog="Example: mfbench compare --low dft.xyz --high ccsdt.xyz --out results/runs/mine")(
        compare
    )


def compare(
    low: Annotated[Path, typer.Option(help="Frames with LF labels (extended XYZ; energy in eV, forces in eV/Å).")],
    high: Annotated[Path, typer.Option(help="Frames with HF labels.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs.", show_default="results/runs/compare-HIGH")
    ] = None,
    low_name: Annotated[str | None, typer.Option(help="Fidelity to take from the LF file, if it has several.")] = None,
    high_name: Annotated[str | None, typer.Option(help="Fidelity to take from the HF file.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Atom gradients of each run.",
            show_default="50 passes over all atoms, 3e5 to 3e6, and at least 2000 optimiser steps",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Validation sets to repeat with.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Model seeds to repeat with, for each draw.")] = 1,
    core: Annotated[
        list[str] | None,
        typer.Option(help="Network (mfbench list cores); may be repeated.", show_default="the one of the settings"),
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML file with settings of all arms.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs computed at once.", show_default="number of CPU cores")
    ] = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    group_key: GroupKey = None,
    block: Block = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be computed.")] = False,
) -> None:
    """Compare the arms on your own files and name the one to use, or say that it cannot be told.

    A fifth of the HF frames, by whole groups, is held out for the test. Runs are stored as those of presets are.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.computing import compute
    from mfbench.benchmarks.cli.progress import Preparation
    from mfbench.benchmarks.cli.selection import RUNS
    from mfbench.benchmarks.cli.settings import read_settings
    from mfbench.benchmarks.harness import default_budget
    from mfbench.benchmarks.harness.cores import core_of, lacking
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.benchmarks.harness.user_data import comparable_arms, comparison
    from mfbench.benchmarks.tasks.user import UserTask
    from mfbench.mfcore.errors import ConfigError
    from mfbench.strategies.registry import is_usual, make_arm

    console = Console()
    reading = reading_of(energy_key, forces_key, stress_key, group_key, block)
    with Preparation(console) as told:
        task = UserTask(low, high, low_name=low_name, high_name=high_name, reading=reading, told=told)
    say(console, task.notes)
    arms, left_out = comparable_arms(task)
    for name in arm or ():
        if name not in arms:
            raise ConfigError(f"arm '{name}': {left_out.get(name, 'unknown')}; there are {', '.join(arms)}.")
    chosen = arm or [name for name in arms if is_usual(name)]
    own = read_settings(settings)
    training = [make_arm(name, own).settings.training for name in chosen]
    budget = budget or default_budget.OF_COMPARE.atom_gradients(task.frames, training)
    said = default_budget.in_words(budget, task.frames, training)
    console.print(said, highlight=False, soft_wrap=True)
    specs = comparison(
        low,
        high,
        (low_name, high_name),
        task=task,
        arms=chosen,
        budget=budget,
        seeds=seeds,
        draws=draws,
        settings=own,
        reading=reading,
        cores=core or (),
    )
    reasons = [*left_out.items()]
    for name in core or [core_of(own).name]:
        reasons += [(arm_name, reason) for arm_name in chosen if (reason := lacking(arm_name, name))]
    for name, reason in reasons:
        console.print(f"left out: {name}: {reason}.", highlight=False, soft_wrap=True)
    if not specs:
        raise ConfigError("no arm is left to compare.")
    root = out or RUNS / f"compare-{high.stem}"
    failed = compute(console, specs, root, workers=workers, dry_run=dry_run)
    if dry_run:
        return
    from mfbench.benchmarks.reports import Results, report

    results = Results(RunStore(root).rows())
    typer.echo(report(results, styled=console.is_terminal))
    for cell in results.cells:
        typer.echo(advice(cell, several=len(results.cells) > 1))
    if failed:
        raise typer.Exit(1)


def advice(cell: Cell, several: bool = False) -> str:
    """Name the arm to use, or say why none can be named; and on which core, where there are several."""
    from mfbench.benchmarks.reports.recommend import reason

    found = cell.recommendation()
    verdict = f"Use {found.arm}" if found.arm else "No arm can be named"
    if several:
        verdict += f" on core {cell.regime['core']}"
    return f"{verdict} (by {cell.metric} of held-out HF frames): {reason(cell)}"
