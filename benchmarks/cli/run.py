"""`mfbench run`: the grid of runs of a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    where,
)
from mfbench.benchmarks.cli.plugins import say_plugins
from mfbench.benchmarks.cli.starting import Trust
from mfbench.benchmarks.harness.folders import RUNS

EXAMPLES = """Examples:

mfbench run quick --task molecular_cc --arm transfer --workers 2

mfbench run standard --executor dask --cluster cluster.yml"""


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("run", epilog=EXAMPLES)(run)


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
    rule: selection.Rule = None,
    core: selection.Core = None,
    trust_checkpoint: Trust = False,
    budget: selection.Budgets = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default="results/runs/PRESET")] = None,
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be computed.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute failed runs again, from their checkpoints.")
    ] = False,
) -> None:
    """Compute the runs of a preset that are not stored yet.

    A finished run is never computed twice; a killed one goes on from its checkpoint. Exit code 1 if a run failed.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.computing import compute

    say_plugins()
    axes = (task, arm, n_high, seed, draw, n_low, labels, pairing, coverage, e0, core)
    chosen, found = selection.runs_of(preset, *axes, rule=rule, budget=budget, trust=trust_checkpoint)
    root = out or RUNS / chosen.name
    place = where(
        workers,
        executor,
        scheduler,
        cluster,
        no_shared_folder,
        (tls_ca_file, tls_cert, tls_key),
        root / "jobs",
    )
    console = Console()
    for line in selection.left_out(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    failed = compute(console, found.runs, root, where=place, dry_run=dry_run, retry_failed=retry_failed)
    if dry_run:
        return
    console.print(f"The tables: mfbench report {root}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)
