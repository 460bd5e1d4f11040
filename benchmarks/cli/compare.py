"""`mfbench compare`: the comparison on a user's own files, and which arm to use on them."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.levels import High, HighName, LabelCost, Level, Low, LowName
from mfbench.benchmarks.cli.place import (
    ClusterPath,
    ExecutorKind,
    Kind,
    NoSharedFolder,
    SchedulerAddress,
    TlsCaFile,
    TlsCert,
    TlsKey,
    where,
)
from mfbench.benchmarks.cli.reading import AcceptFaults, Block, EnergyKey, ForcesKey, GroupKey, StressKey
from mfbench.benchmarks.cli.settings import Tuned
from mfbench.benchmarks.cli.starting import Checkpoint, Trust
from mfbench.benchmarks.cli.time_budget import Time, seconds_of, within_time
from mfbench.mfcore.training.budget import LARGEST_BUDGET

EXAMPLES = """Examples:

mfbench compare --low dft.xyz --high ccsdt.xyz

mfbench compare --low dft.xyz --high ccsdt.xyz --test surfaces.xyz --out results/runs/mine

mfbench compare --level dft=dft.xyz --level mp2=mp2.xyz --level ccsdt=ccsdt.xyz --energy-key mp2=E_MP2

mfbench compare --low dft.xyz --high ccsdt.xyz --n-high 25 --n-high 50 --n-high all --label-cost high=3600

mfbench compare --low dft.xyz --high ccsdt.xyz --budget 3e5 --budget 1.2e6

mfbench compare --low dft.xyz --high ccsdt.xyz --time 2h

mfbench compare --core sevennet --checkpoint SevenNet-MF-0:PBE --low pbe.xyz --high r2scan.xyz"""


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("compare", epilog=EXAMPLES)(compare)


def compare(
    low: Low = None,
    high: High = None,
    level: Level = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs.", show_default="results/runs/compare-HIGH")
    ] = None,
    low_name: LowName = None,
    high_name: HighName = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(help="Test frames with HF labels, of which no copy may be trained on; may be repeated."),
    ] = None,
    n_high: Annotated[
        list[str] | None,
        typer.Option(help="Number of HF frames to train on, or all; repeated: a learning curve.", show_default="all"),
    ] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    budget: Annotated[
        list[float] | None,
        typer.Option(
            min=1,
            max=LARGEST_BUDGET,
            help="Atom gradients of each run; repeated: the verdict at each, and whether more training changes it.",
            show_default="50 passes over all atoms, 3e5 to 3e6, and at least 2000 optimiser steps",
        ),
    ] = None,
    time: Time = None,
    draws: Annotated[int, typer.Option(min=1, help="Validation sets, and HF subsets, to repeat with.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Model seeds to repeat with, for each draw.")] = 1,
    core: Annotated[
        list[str] | None,
        typer.Option(help="Network (mfbench list cores); may be repeated.", show_default="the one of the settings"),
    ] = None,
    checkpoint: Checkpoint = None,
    trust_checkpoint: Trust = False,
    settings: Annotated[Path | None, typer.Option(help="YAML file with settings of all arms.")] = None,
    tuned: Tuned = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Runs computed at once.", show_default="number of CPU cores, or of Dask workers"),
    ] = None,
    executor: ExecutorKind = Kind.local,
    scheduler: SchedulerAddress = None,
    cluster: ClusterPath = None,
    no_shared_folder: NoSharedFolder = False,
    tls_ca_file: TlsCaFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    group_key: GroupKey = None,
    block: Block = None,
    accept_faults: AcceptFaults = False,
    label_cost: LabelCost = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be computed.")] = False,
) -> None:
    """Compare the arms on your own files and name the one to use, or say that it cannot be told.

    The test is the frames of --test, or a fifth of the HF frames, by whole groups. Runs are stored as those of presets
    are.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.computing import compute
    from mfbench.benchmarks.cli.plugins import say_plugins
    from mfbench.benchmarks.cli.progress import telling_on
    from mfbench.benchmarks.harness.folders import RUNS
    from mfbench.benchmarks.reports import report
    from mfbench.benchmarks.user.answer import doubts, outlook, results_of, verdicts
    from mfbench.benchmarks.user.comparison import Question, plan_comparison
    from mfbench.benchmarks.user.networks import chosen_cores
    from mfbench.benchmarks.user.options import label_costs, reading_of, roles_of, sizes_of, task_options
    from mfbench.benchmarks.user.settings_file import read_settings

    console, started = Console(), clock.perf_counter()
    telling = telling_on(console)
    say_plugins()
    seconds = seconds_of(time, budget)
    root = out or RUNS / f"compare-{Path(level[-1].partition('=')[2] if level else high or '').stem}"
    place = where(
        workers,
        executor,
        scheduler,
        cluster,
        no_shared_folder,
        (tls_ca_file, tls_cert, tls_key),
        root / "jobs",
    )
    sizes, costs = sizes_of(n_high), label_costs(label_cost, roles_of(level))
    reading = reading_of(energy_key, forces_key, stress_key, group_key, block, roles_of(level), ("test",))
    own = read_settings(settings)
    question = Question(
        options=task_options(low, high, low_name, high_name, level, reading, test),
        arms=tuple(dict.fromkeys(arm or ())),
        sizes=sizes,
        budgets=budget or (),
        draws=draws,
        seeds=seeds,
        settings=own,
        settings_file=settings,
        cores=chosen_cores(core, checkpoint, own, trust_checkpoint),
        tuned=tuned,
        costs=costs,
        accept_faults=accept_faults,
    )
    plan = plan_comparison(question, telling)
    specs, basis = plan.specs, ""
    if seconds is not None and time is not None:
        basis = "as measured"
        specs = within_time(
            console,
            specs,
            plan.task.data_hashes(),
            root,
            time_s=seconds,
            text=time,
            where=place,
            keep=not dry_run,
            started=started,
        )
    plan.say_budgets(telling, specs)
    failed = compute(console, specs, root, where=place, dry_run=dry_run, basis=basis)
    if dry_run:
        return
    results = results_of(root, plan, specs)
    typer.echo(report(results, styled=console.is_terminal))
    for sentence in [*verdicts(results), *doubts(plan)]:
        typer.echo(sentence)
    for paragraph in outlook(results, plan):
        typer.echo(f"\n{paragraph}")
    if failed:
        raise typer.Exit(1)
