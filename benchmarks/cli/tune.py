"""`mfbench tune`: settings of the arms, with equal trials for every arm, selected on HF validation frames."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli import selection
from mfbench.benchmarks.cli.place import (
    ClusterPath,
    ExecutorKind,
    Kind,
    NoSharedFolder,
    SchedulerAddress,
    TlsCaFile,
    TlsCert,
    TlsKey,
    Where,
    where,
)
from mfbench.benchmarks.cli.starting import Trust
from mfbench.benchmarks.cli.waiting import waiting
from mfbench.benchmarks.harness.folders import RUNS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.tuning.settings_file import TunedArm, TunedSettings
    from mfbench.benchmarks.tuning.study import Search, Searched
    from mfbench.benchmarks.tuning.trial import TrialStore

#: Where the settings that come along lie, in a clone of the repository.
SETTINGS = Path("benchmarks/tuning/settings")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(
        "tune",
        epilog="Example: mfbench tune quick --task molecular_cc --arm multi_fidelity --arm transfer --trials 20",
    )(tune)


def tune(
    preset: selection.Preset_,
    task: Annotated[str | None, typer.Option(help="Task to tune on.", show_default="the preset's only one")] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Arm to tune; may be repeated.", show_default="all of the preset")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each arm; the first has the untuned settings.")] = 20,
    budget_share: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1.0,
            help="Budget of the first rung's trials, as a share of a run's; 1: no successive halving.",
        ),
    ] = 0.1,
    reduction: Annotated[
        int, typer.Option(min=2, help="A rung has so many times fewer trials than the one before, of a larger budget.")
    ] = 3,
    space: Annotated[
        Path | None, typer.Option(help="YAML file of the search space.", show_default="the one that comes along")
    ] = None,
    n_high: Annotated[str | None, typer.Option(help="Number of HF frames, or all, if the preset has several.")] = None,
    n_low: Annotated[str | None, typer.Option(help="Number of LF frames, or all, likewise.")] = None,
    labels: Annotated[str | None, typer.Option(help="Labels, as in low=EF,high=E, likewise.")] = None,
    pairing: Annotated[str | None, typer.Option(help="Pairing, likewise.")] = None,
    coverage: Annotated[str | None, typer.Option(help="Coverage, likewise.")] = None,
    e0: Annotated[str | None, typer.Option(help="Policy of the reference energies, likewise.")] = None,
    core: Annotated[str | None, typer.Option(help="Network, likewise.")] = None,
    trust_checkpoint: Trust = False,
    seed: Annotated[int | None, typer.Option(help="Model seed.", show_default="the preset's first")] = None,
    draw: Annotated[int | None, typer.Option(help="HF-subset draw.", show_default="the preset's first")] = None,
    sampler_seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler, the same for every arm.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Settings file to write.", show_default=f"{SETTINGS}/TASK.yml in a clone, else tuned-TASK.yml"
        ),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of the trials.", show_default="results/runs/tune-PRESET")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Arms tuned at once.", show_default="number of CPU cores, or of Dask workers"),
    ] = None,
    executor: ExecutorKind = Kind.local,
    scheduler: SchedulerAddress = None,
    cluster: ClusterPath = None,
    no_shared_folder: NoSharedFolder = False,
    tls_ca_file: TlsCaFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Tune the arms' settings: the same number of trials, compute, frames and sampler for every arm.

    By successive halving: all trials are trained with a small share of the budget, the better ones again, from their
    first stage on, with a larger one, and the finalists, the untuned settings among them, with the whole. Trials are
    compared by their loss on the HF validation frames; test frames are not looked at. A trial that has
    ended is never repeated: the same command goes on where it was stopped, and one with more --trials goes on from
    there. A preset uses the file by `tuned: TASK` or `tuned: FILE` in its task plan; its rows then count the trials.
    """
    from rich.console import Console

    from mfbench.benchmarks.tuning.halving import spending
    from mfbench.benchmarks.tuning.settings_file import write_tuned
    from mfbench.benchmarks.tuning.space import load_space
    from mfbench.benchmarks.tuning.study import need_optuna, searches
    from mfbench.mfcore.errors import ConfigError
    from mfbench.mfcore.locks import only_writer_of
    from mfbench.strategies.registry import arm_names

    need_optuna()
    listed = [None if value is None else [value] for value in (n_high, n_low, labels, pairing, coverage, e0)]
    sizes, lows, label_sets, pairings, coverages, e0s = listed
    chosen, found_grid = selection.runs_of(
        preset,
        None if task is None else [task],
        arm,
        sizes,
        None if seed is None else [seed],
        None if draw is None else [draw],
        lows,
        label_sets,
        pairings,
        coverages,
        e0s,
        None if core is None else [core],
        tuned=False,
        trust=trust_checkpoint,
    )
    specs = one_each(found_grid.runs)
    console = Console()
    root = runs or RUNS / f"tune-{chosen.name}"
    place = where(
        workers,
        executor,
        scheduler,
        cluster,
        no_shared_folder,
        (tls_ca_file, tls_cert, tls_key),
        root / "jobs",
    )
    if place.apart:
        raise ConfigError(
            "--no-shared-folder: the trials of an arm go on from each other in a folder, which workers of "
            "`mfbench tune` need to see."
        )
    with waiting("Preparing splits and settings", console):
        found = load_space(space, arm_names())
        jobs = searches(
            specs,
            found,
            trials=trials,
            sampler_seed=sampler_seed,
            budget_share=budget_share,
            root=root.absolute(),
            reduction=reduction,
        )
    results = _search_all(console, jobs, place)
    tuned = _settings(jobs, results, preset=chosen.name, space=space)
    path = out or (SETTINGS / f"{specs[0].task}.yml" if SETTINGS.is_dir() else Path(f"tuned-{specs[0].task}.yml"))
    with only_writer_of(path):
        write_tuned(path, tuned)
    console.print(_table(tuned, results))
    spent = spending(jobs[0].rungs)
    console.print(f"The search of an arm costs {spent:.3g} times the budget of a run.", highlight=False)
    for arm_name, best in tuned.arms.items():
        console.print(f"  {arm_name}: {_settings_line(best)}", style="dim", highlight=False, soft_wrap=True)
    name = specs[0].task if out is None and path.parent == SETTINGS else path
    console.print(
        f"Written: {path}. A preset uses it by `tuned: {name}`.", markup=False, highlight=False, soft_wrap=True
    )


def one_each(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """One run for each arm, on one task and regime, with the first seed and draw.

    Raises
    ------
    ConfigError
        If the runs are of several tasks or regimes.
    """
    from mfbench.mfcore.errors import ConfigError

    tasks = sorted({spec.task for spec in specs})
    if len(tasks) > 1:
        raise ConfigError(f"the preset has several tasks; choose one: --task {' or '.join(tasks)}.")
    specs = [spec for spec in specs if (spec.seed, spec.draw) == (specs[0].seed, specs[0].draw)]
    regimes = [spec.regime.model_dump() for spec in specs if not spec.all_high]
    for axis in regimes[0] if regimes else ():
        values = list(dict.fromkeys(str(regime[axis]) for regime in regimes))
        if len(values) > 1:
            option = "--" + axis.replace("_", "-")
            raise ConfigError(f"the preset has several regimes; choose one: {option} {' or '.join(values)}.")
    cores = list(dict.fromkeys(spec.core_name for spec in specs))
    if len(cores) > 1:
        raise ConfigError(f"the preset has several cores; choose one: --core {' or '.join(cores)}.")
    first: dict[str, RunSpec] = {}
    for spec in specs:
        first.setdefault(spec.arm, spec)
    return list(first.values())


def _search_all(console: Console, jobs: list[Search], place: Where) -> list[Searched]:
    from mfbench.benchmarks.cli.costs import duration
    from mfbench.benchmarks.cli.progress import TrialsProgress
    from mfbench.benchmarks.harness.cost import makespan
    from mfbench.benchmarks.harness.elsewhere import InFolder, call_in_folder
    from mfbench.benchmarks.harness.executors.base import Died, Done, Job, Told
    from mfbench.benchmarks.harness.runner import only_writer
    from mfbench.benchmarks.tuning.study import Searched, search
    from mfbench.benchmarks.tuning.trial import TrialStore
    from mfbench.mfcore.errors import StorageError

    root, rungs = jobs[0].root, jobs[0].rungs
    processes = place.processes(len(jobs))
    calls = [Job(search, job) for job in jobs]
    if place.place is not None:
        calls = [Job(call_in_folder, InFolder(search, job, Path.cwd())) for job in jobs]
    budgets = sorted({f"{job.spec.budget:,.0f}" for job in jobs})
    seconds, measured = expected_seconds(jobs, TrialStore(root))
    console.print(
        f"{len(jobs)} arms x {', then '.join(f'{r.trials} trials at {r.share:.3g}' for r in rungs)} of a budget of "
        f"{' or '.join(budgets)} atom gradients: at most "
        f"{duration(makespan(seconds, processes))} on {processes} {'process' if processes == 1 else 'processes'} "
        f"({'from stored trials' if measured else 'a first guess'}); trials that have ended are not repeated.",
        highlight=False,
        soft_wrap=True,
    )
    found: dict[int, Searched] = {}
    with only_writer(root), TrialsProgress(console, jobs) as progress:
        TrialStore(root).sweep()
        for event in place.executor(console, len(jobs)).run(calls):
            if isinstance(event, Told):
                progress.told(event.job, event.value)
            elif isinstance(event, Died):
                found[event.job] = Searched(jobs[event.job].spec.arm, fault=event.reason)
            elif isinstance(event, Done) and event.value.disk_fault:
                raise StorageError(event.value.fault)
            elif isinstance(event, Done):
                found[event.job] = event.value
        _drop_work(root)
    return [found[number] for number in range(len(jobs))]


def expected_seconds(jobs: Sequence[Search], store: TrialStore) -> tuple[list[float], bool]:
    """Expected time of each arm's trials in s, and whether it follows from stored trials of all arms."""
    from mfbench.benchmarks.tuning.halving import spending

    rates: dict[tuple[str, str], list[float]] = {}
    for record in store.all():
        rate = record["wall_s"] / record["budget_atom_gradients"]
        rates.setdefault((record["task"], record["arm"]), []).append(rate)
    seconds, measured = [], True
    for job in jobs:
        known = rates.get((job.spec.task, job.spec.arm))
        measured = measured and known is not None
        rate = sum(known) / len(known) if known else job.spec.expected_us_per_atom_gradient * 1e-6
        seconds.append(rate * job.spec.budget * spending(job.rungs))
    return seconds, measured


def _drop_work(root: Path) -> None:
    """Drop shared stages when no trial has been left half done."""
    import shutil

    work = root / "work"
    if work.is_dir() and all(path.name == "shared" for path in work.iterdir()):
        shutil.rmtree(work)


def _settings(jobs: list[Search], results: list[Searched], *, preset: str, space: Path | None) -> TunedSettings:
    from datetime import UTC, datetime
    from importlib import resources
    from importlib.metadata import version

    from mfbench.benchmarks.harness.cores import core_of
    from mfbench.benchmarks.harness.execute import versions
    from mfbench.benchmarks.harness.prepare import split_of, task_of
    from mfbench.benchmarks.tuning.settings_file import Provenance, TunedRung, TunedSettings
    from mfbench.benchmarks.tuning.study import SAMPLER, best_of
    from mfbench.mfcore.files import sha256_of
    from mfbench.mfcore.provenance import digest
    from mfbench.mfcore.training.budget import Budget

    spec, split = jobs[0].spec, split_of(jobs[0].spec)
    with resources.as_file(resources.files("mfbench.benchmarks.tuning") / "spaces" / "default.yml") as default:
        space_hash = sha256_of(space or default)
    provenance = Provenance(
        command=" ".join(["mfbench", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions() | {"optuna": version("optuna")},
        preset=preset,
        regime=next((job.spec for job in jobs if not job.spec.all_high), spec).regime.model_dump(mode="json"),
        seed=spec.seed,
        draw=spec.draw,
        data=task_of(spec).data_hashes(),
        split=digest(split.record),
        n_validation=len(split.training.validation),
        loss=jobs[0].loss.model_dump(mode="json", exclude={"fidelity_weights"}),
        sampler=SAMPLER,
        sampler_seed=jobs[0].sampler_seed,
        space="default" if space is None else space.name,
        space_sha256=space_hash,
        rule=Budget(spec.budget, spec.patience).rule,
        atom_gradients={job.spec.arm: job.spec.budget for job in jobs},
        patience=spec.patience,
        core=(spec.core or core_of(spec.settings)).name,
        rungs=[TunedRung(share=rung.share, trials=rung.trials) for rung in jobs[0].rungs],
    )
    return TunedSettings(
        task=spec.task,
        provenance=provenance,
        arms={job.spec.arm: best_of(found) for job, found in zip(jobs, results, strict=True)},
    )


def _table(tuned: TunedSettings, results: list[Searched]) -> Table:
    from rich.table import Table

    from mfbench.benchmarks.tuning.study import best_record

    table = Table(box=None)
    table.add_column("arm", no_wrap=True)
    for heading in (
        "loss",
        "untuned",
        "E\nmeV/at",
        "F\nmeV/Å",
        "best\ntrial",
        "failed",
        "all trials\n10⁶ atom gradients",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for found in results:
        arm = tuned.arms[found.arm]
        best = best_record(found)
        scores = best["scores"]
        first = arm.first_validation_loss
        table.add_row(
            found.arm,
            f"{arm.validation_loss:.3g}",
            "–" if first is None else f"{first:.3g}",
            *(f"{scores[k]:.3g}" if k in scores else "–" for k in ("energy_mae_mev_per_atom", "force_mae_mev_per_A")),
            str(best["trial"] + 1),
            str(arm.failed),
            f"{arm.atom_gradients / 1e6:.3g}",
        )
    return table


def _settings_line(arm: TunedArm) -> str:
    from mfbench.benchmarks.harness.plan import leaves

    return ", ".join(f"{key.removeprefix('training.')} {value}" for key, value in leaves(arm.settings).items())
