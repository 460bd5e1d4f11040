"""`mfbench compare`: the comparison on a user's own files, and which arm to use on them."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.cli.levels import (
    High,
    HighName,
    LabelCost,
    Level,
    Low,
    LowName,
    label_costs,
    names_of_low,
    roles_of,
    task_options,
)
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
from mfbench.benchmarks.cli.time_budget import Time, seconds_of, within_time
from mfbench.mfcore.training.budget import LARGEST_BUDGET

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.plan import Tuning
    from mfbench.benchmarks.reports.results import Cell

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
    from mfbench.benchmarks.cli.progress import Preparation
    from mfbench.benchmarks.cli.selection import RUNS
    from mfbench.benchmarks.cli.settings import read_settings, settings_from
    from mfbench.benchmarks.harness import default_budget, user_data
    from mfbench.benchmarks.harness.cores import core_of, lacking
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.benchmarks.harness.user_tuned import not_tuned, tuned_for
    from mfbench.benchmarks.tasks.user import UserTask
    from mfbench.mfcore.errors import ConfigError
    from mfbench.strategies.registry import is_usual, make_arm

    console, started = Console(), clock.perf_counter()
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
    options = task_options(low, high, low_name, high_name, level, reading, test)
    own = read_settings(settings)
    entries = chosen_cores(core, checkpoint, own, trust_checkpoint)
    starts = any(entry.checkpoint is not None for entry in entries or [core_of(own)])
    check_arms(arm, options, starts)
    with Preparation(console) as told:
        task = UserTask(**options, told=told, keep=True)
    task.label_costs = {f: costs[s.role] for f, s in zip(task.fidelities, task.sources, strict=True) if s.role in costs}
    say(console, [*task.notes, *check_faults(task.faults, accept_faults)])
    arms, left_out = user_data.comparable_arms(task, sizes, starts)
    for name in arm or ():
        if name not in arms:
            raise ConfigError(f"arm '{name}': {left_out.get(name, 'unknown')}; there are {', '.join(arms)}.")
    chosen = arm or [name for name in arms if is_usual(name, starts)]
    pools = user_data.pool_sizes(options, task, draws)
    user_data.check_sizes(sizes, pools, task)
    console.print(user_data.held_out(task, pools), highlight=False, soft_wrap=True)
    networks = entries or [core_of(own)]
    names = [entry.name for entry in networks]
    settings_of: Mapping[str, Mapping[str, Any]] = dict.fromkeys(chosen, own)
    tuning: Mapping[str, Tuning] = {}
    if tuned is not None:
        found = tuned_for(tuned, own, task.fidelities, chosen, names)
        say(console, found.notes)
        settings_of, tuning = found.settings, found.tuning
        for name in [name for name in chosen if name not in settings_of]:
            left_out[name] = not_tuned(tuned, name)
            if arm:
                raise ConfigError(f"arm '{name}': {left_out[name]}.")
        chosen = [*settings_of]
    with settings_from(settings if tuned is None else None):  # else some are those of the other file
        training = [make_arm(name, settings_of[name]).settings.training for name in chosen]
    specs = user_data.comparison(
        options,
        task=task,
        arms=chosen,
        budgets=sorted(set(budget or [default_budget.OF_COMPARE.atom_gradients(task.frames, training)])),
        seeds=seeds,
        draws=draws,
        settings=settings_of,
        tuning=tuning,
        sizes=sizes,
        cores=entries,
    )
    seen = task.default_regime.label_sets(task.fidelities)[task.high]
    for entry in networks:
        say_start(console, entry.over(own), task.candidates, task.high, seen)
    reasons = [] if arm else [*left_out.items()]
    for network in networks:
        reasons += [(name, reason) for name in chosen if (reason := lacking(name, network.name, network.checkpoint))]
    for name, reason in reasons:
        console.print(f"left out: {name}: {reason}.", highlight=False, soft_wrap=True)
    if not specs:
        raise ConfigError("no arm is left to compare.")
    basis = ""
    if seconds is not None and time is not None:
        data, basis = task.data_hashes(), "as measured"
        specs = within_time(
            console,
            specs,
            data,
            root,
            time_s=seconds,
            text=time,
            where=place,
            keep=not dry_run,
            started=started,
        )
    for amount in dict.fromkeys(spec.budget for spec in specs):
        said = default_budget.in_words(amount, task.frames, training)
        console.print(said, highlight=False, soft_wrap=True)
    failed = compute(console, specs, root, where=place, dry_run=dry_run, basis=basis)
    if dry_run:
        return
    from mfbench.benchmarks.reports import Results, report
    from mfbench.benchmarks.reports.details import Details

    rows = RunStore(root).rows()
    if costs:  # those of this call count: stored runs may have been computed without
        rows["label_cost_cpu_s"] = user_data.label_costs(rows, specs, task)
    results = Results(rows, Details(root))
    typer.echo(report(results, styled=console.is_terminal))
    for cell in results.cells:
        typer.echo(advice(cell, several=len(results.cells) > 1))
    if len(sizes) > 1:
        from mfbench.benchmarks.reports.extrapolation import curve_lines
        from mfbench.benchmarks.reports.rows import budget_words

        prices = [task.label_costs.get(name) for name in reversed(task.fidelities)]
        for regime in results.regimes:
            name = regime.regime["budget"]
            at = [] if name == "default" else [f"At {budget_words(name)}:"]
            typer.echo("\n".join(["", *at, *curve_lines(regime, round(fmean(pools.training)), *prices[:2])]))
    if failed:
        raise typer.Exit(1)


def sizes_of(n_high: Sequence[str] | None) -> list[Any]:
    """Return the numbers of HF training frames, ascending and each once; "all" is last.

    Raises
    ------
    ConfigError
        If one is neither a positive number nor "all".
    """
    from mfbench.mfcore.errors import ConfigError

    for text in n_high or ():
        if text != "all" and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise ConfigError(f"--n-high {text}: expected a positive number of HF frames, or all.")
    numbers = sorted({int(text) for text in n_high or () if text != "all"})
    return [*numbers, *(["all"] if not n_high or "all" in n_high else [])]


def check_arms(arm: Sequence[str] | None, options: dict[str, Any], starts: bool = False) -> None:
    """Refuse arms that the files cannot serve, before the files are read; `starts` from a checkpoint, or not.

    Raises
    ------
    ConfigError
        Names the arm and the reason.
    """
    from mfbench.benchmarks.harness.user_data import not_served
    from mfbench.mfcore.errors import ConfigError

    n_low = len(names_of_low(options))
    for name in arm or ():
        if reason := not_served(name, n_low, starts):
            raise ConfigError(f"arm '{name}': {reason}.")
    if not arm and not n_low and not starts:
        raise ConfigError(
            "there are no LF frames to compare with: give --low FILE, or --level NAME=FILE for each level; --arm "
            "single_fidelity alone needs none."
        )


def advice(cell: Cell, several: bool = False) -> str:
    """Name the arm to use, or say why none can be named; on which core and how many frames, where there are several."""
    from mfbench.benchmarks.reports.recommend import reason
    from mfbench.benchmarks.reports.rows import budget_words

    found = cell.recommendation()
    verdict = f"Use {found.arm}" if found.arm else "No arm can be named"
    if several:
        verdict += f" with {cell.n_high} HF frames on core {cell.regime['core']}"
        if cell.regime["budget"] != "default":
            verdict += f" and {budget_words(cell.regime['budget'])}"
    on = f"the test frames of {cell.split}" if cell.own_test else "held-out HF frames"
    return f"{verdict} (by {cell.metric} of {on}): {reason(cell)}"
