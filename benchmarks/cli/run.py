"""`mfbench list` and `run`: presets, and the grid of runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli import selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.benchmarks.harness.runner import Pending

RUNS = Path("results/runs")


class What(StrEnum):
    """What `mfbench list` can list."""

    arms = "arms"
    tasks = "tasks"
    cores = "cores"
    observables = "observables"
    presets = "presets"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("list", epilog="Example: mfbench list arms")(list_names)
    app.command("run", epilog="Example: mfbench run quick --task molecular_cc --arm transfer --workers 2")(run)


def list_names(
    what: Annotated[What | None, typer.Argument(help="Leave it out for all.")] = None,
) -> None:
    """List the arms, tasks, cores, observables or presets that there are, each with one line."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for kind in [what] if what else list(What):
        table = Table("name", "summary", title=kind.value, title_justify="left", box=None, title_style="bold")
        for name, summary in _summaries(kind):
            table.add_row(name, summary)
        console.print(table)
        for line in _left_out() if kind is What.arms else ():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _left_out() -> list[str]:
    """Lines that say which arms a core is not able to carry, and why."""
    from mfbench.benchmarks.harness.cores import lacking
    from mfbench.mfcore.cores.registry import core_names
    from mfbench.strategies.registry import arm_names

    reasons = [(arm, core, lacking(arm, core)) for core in core_names() for arm in arm_names()]
    return [f"left out on core {core}: {arm}: {reason}." for arm, core, reason in reasons if reason]


def _summaries(kind: What) -> list[tuple[str, str]]:
    if kind is What.arms:
        from mfbench.strategies.registry import arm_names, arm_summary

        return [(name, arm_summary(name)) for name in arm_names()]
    if kind is What.tasks:
        from mfbench.benchmarks.tasks.registry import make_task, task_names

        return [(name, make_task(name).summary) for name in task_names()]
    if kind is What.cores:
        from mfbench.mfcore.cores.registry import core_class, core_names

        cores = [core_class(name) for name in core_names()]
        return [(core.name, f"{core.summary}; {', '.join(core.conditionings)}") for core in cores]
    if kind is What.observables:
        from mfbench.benchmarks.observables.registry import observables

        return [(observable.name, observable.summary) for observable in observables()]
    from mfbench.benchmarks.harness.plan import load_preset, preset_names

    return [(name, load_preset(name).summary) for name in preset_names()]


def run(
    preset: Annotated[str, typer.Argument(help="Name of a preset (mfbench list presets), or a YAML file.")],
    task: selection.Task = None,
    arm: selection.Arm = None,
    n_high: selection.NHigh = None,
    seed: selection.Seed = None,
    draw: selection.Draw = None,
    n_low: selection.NLow = None,
    labels: selection.Labels = None,
    pairing: selection.Pairing = None,
    coverage: selection.Coverage = None,
    e0: selection.E0 = None,
    core: selection.Core = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default="results/runs/PRESET")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs computed at once.", show_default="number of CPU cores")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be computed.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute failed runs again, from their checkpoints.")
    ] = False,
) -> None:
    """Compute the runs of a preset that are not stored yet.

    A finished run is never computed twice; a killed one goes on from its checkpoint. Exit code 1 if a run failed.
    """
    from rich.console import Console

    chosen, found = selection.runs_of(preset, task, arm, n_high, seed, draw, n_low, labels, pairing, coverage, e0, core)
    root = out or RUNS / chosen.name
    console = Console()
    for line in selection.left_out(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    failed = compute(console, found.runs, root, workers=workers, dry_run=dry_run, retry_failed=retry_failed)
    if dry_run:
        return
    console.print(f"The tables: mfbench report {root}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def compute(
    console: Console,
    specs: Sequence[RunSpec],
    root: Path,
    *,
    workers: int | None = None,
    dry_run: bool = False,
    retry_failed: bool = False,
) -> int:
    """Prepare runs, say how long they will take, compute and store those that are not stored.

    Returns
    -------
    int
        Number of runs of the plan that have failed, now or before.
    """
    from mfbench.benchmarks.cli.plan import summary_line
    from mfbench.benchmarks.cli.progress import RunsProgress
    from mfbench.benchmarks.harness.cost_estimate import overview
    from mfbench.benchmarks.harness.executors.factory import default_workers, make_executor
    from mfbench.benchmarks.harness.prepare import prepare
    from mfbench.benchmarks.harness.runner import pending, run_all
    from mfbench.benchmarks.harness.store import RunStore

    with console.status("Preparing splits and settings"):
        planned = prepare(specs)
    store = RunStore(root)
    plan = pending(planned, store, retry_failed=retry_failed)
    processes = min(workers or default_workers(), max(1, len(plan.todo)))
    with console.status("Adding up costs"):
        whole = overview(planned, plan, store, processes)
    console.print(summary_line(whole), highlight=False, soft_wrap=True)
    for run, reason in plan.failed:
        text = f"failed before: {run.spec.title()}: {reason} (--retry-failed computes it again)"
        console.print(text, style="red", markup=False, soft_wrap=True)
    if dry_run:
        _list_runs(console, planned, plan)
        return len(plan.failed)
    with RunsProgress(console, plan.todo) as monitor:
        failed = run_all(plan.todo, planned, store, monitor, make_executor(processes))
    return len(plan.failed) + len(failed)


def _list_runs(console: Console, planned: Sequence[PlannedRun], plan: Pending) -> None:
    stored = {run.key for run in plan.stored}
    failed = {run.key for run, _ in plan.failed}
    for run in planned:
        state = "stored" if run.key in stored else "failed" if run.key in failed else "to do"
        console.print(f"{run.key[:12]}  {state:<6}  {run.spec.title()}", markup=False, highlight=False, soft_wrap=True)
