"""`mfbench plan`: what a preset amounts to, before anything runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.cli import selection
from mfbench.benchmarks.cli.costs import amount, cpu_time, duration, summary_line
from mfbench.benchmarks.cli.plugins import say_plugins
from mfbench.benchmarks.cli.starting import Trust
from mfbench.benchmarks.cli.waiting import waiting
from mfbench.benchmarks.harness.folders import RUNS

if TYPE_CHECKING:
    from rich.table import Table

    from mfbench.benchmarks.harness.cost_estimate import RegimeEstimate
    from mfbench.mfcore.training.budget import Budget

#: Axes of a regime as the table's columns, with their headings; one that does not vary goes into the title.
AXES = (("n_low", "n_low"), ("n_high", "n_high"), ("labels", "labels"), ("pairing", "pairing"))
_WIDTH_OF_A_PIPE = 200
"""Columns of the table where there is no terminal to fit, so that no number is cut."""

FURTHER_AXES = (
    ("coverage", "coverage"),
    ("e0", "E0"),
    ("selection", "selection"),
    ("core", "core"),
    ("budget", "budget"),
)


class Format(StrEnum):
    """How a plan is written."""

    text = "text"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("plan", epilog="Example: mfbench plan standard --task h2co --workers 8")(plan)


def plan(
    preset: selection.Preset_,
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
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs that are stored.", show_default="results/runs/PRESET")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs computed at once.", show_default="number of CPU cores")
    ] = None,
    format: Annotated[Format, typer.Option(help="Table for people, or JSON.")] = Format.text,
) -> None:
    """Say what a preset would run, how long it would take, and what its labels and its training cost.

    Nothing is computed or written. Label cost is CPU time when the labels were made, of all frames that are trained
    or selected on, each counted once; it includes stored runs. Time and compute are of the runs that are not stored.
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from mfbench.benchmarks.harness.cost_estimate import cost_estimate
    from mfbench.benchmarks.harness.executors.factory import default_workers
    from mfbench.benchmarks.harness.prepare import prepare
    from mfbench.benchmarks.harness.runner import pending
    from mfbench.benchmarks.harness.store import RunStore

    say_plugins()
    axes = (task, arm, n_high, seed, draw, n_low, labels, pairing, coverage, e0, core)
    chosen, found = selection.runs_of(preset, *axes, rule=rule, budget=budget, trust=trust_checkpoint)
    words = "Preparing splits and settings"
    with waiting(words) as told:
        planned = prepare(found.runs, lambda done: told(f"{words}: {done:,} of {len(found.runs):,} runs"))
        store = RunStore(out or RUNS / chosen.name)
        whole = cost_estimate(planned, pending(planned, store), store, workers or default_workers())
    if format is Format.json:
        left_out = [asdict(arm) for arm in found.left_out]
        typer.echo(json.dumps(whole.as_dict() | {"left_out": left_out}, indent=1, allow_nan=False))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_PIPE)
    for name in dict.fromkeys(regime.task for regime in whole.regimes):
        chosen_regimes = [regime for regime in whole.regimes if regime.task == name]
        title, table = _table(name, chosen_regimes, whole.workers)
        console.print(title, style="bold", highlight=False, soft_wrap=True)
        console.print(table)
        for regime in _arms_once(chosen_regimes):
            console.print(f"  {regime}", style="dim", highlight=False, soft_wrap=True)
        console.print()
    frames = ", ".join(f"{n:,} {name}" for name, n in whole.n_labelled.items())
    console.print(f"Labelled frames, each counted once: {frames}.", highlight=False, soft_wrap=True)
    for line in selection.left_out(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(summary_line(whole), highlight=False, soft_wrap=True)


def _arms_once(regimes: list[RegimeEstimate]) -> list[str]:
    """Lines that name the arms, one for each set of arms; budgets and repetitions with them."""
    lines: dict[str, list[str]] = {}
    for regime in regimes:
        repeats = f"draws {_range(regime.draws)}, seeds {_range(regime.seeds)}"
        what = f"{', '.join(regime.arms)}; {repeats}; {' or '.join(map(_budget, regime.budgets))} each"
        lines.setdefault(what, []).append(str(regime.regime["n_high"]))
    return [f"n_high {', '.join(dict.fromkeys(sizes))}: {what}" for what, sizes in lines.items()]


def _budget(budget: Budget) -> str:
    amount = f"{budget.atom_gradients:,.0f} atom gradients"
    return amount if budget.patience is None else f"up to {amount}, patience {budget.patience}"


def _range(numbers: list[int]) -> str:
    whole = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))


def _table(task: str, regimes: list[RegimeEstimate], workers: int) -> tuple[str, Table]:
    from rich.table import Table

    from mfbench.mfcore.cores.registry import DEFAULT

    plain = (("core", DEFAULT), ("selection", "default"), ("budget", "default"))  # these go without saying
    axes = [(key, heading) for key, heading in (*AXES, *FURTHER_AXES) if len({_of(r, key) for r in regimes}) > 1]
    if ("n_high", "n_high") not in axes:
        axes.insert(0, ("n_high", "n_high"))
    same = [
        f"{heading} {_of(regimes[0], key)}"
        for key, heading in (*AXES, *FURTHER_AXES)
        if (key, heading) not in axes and (key, _of(regimes[0], key)) not in plain
    ]
    table = Table(box=None)
    for _, heading in axes:
        table.add_column(heading, no_wrap=True)
    noun = "worker" if workers == 1 else "workers"
    for heading in (
        "arms",
        "runs",
        "stored",
        "to do",
        f"time on\n{workers} {noun}",
        "10⁶ atom\ngradients",
        "CPU",
        "labels",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for regime in regimes:
        spending = regime.spending
        todo = bool(spending.runs)
        table.add_row(
            *(_of(regime, key) for key, _ in axes),
            *(str(n) for n in (len(regime.arms), regime.runs, regime.stored, spending.runs)),
            duration(spending.wall_s) if todo else "–",
            amount(spending.atom_gradients / 1e6) if todo else "–",
            cpu_time(spending.cpu_s) if todo else "–",
            cpu_time(regime.label_cost_cpu_s),
        )
    return ", ".join([task, *same]), table


def _of(regime: RegimeEstimate, key: str) -> str:
    value: Any = regime.core if key == "core" else regime.regime[key]
    return str(value)
