"""The answer of a comparison on a user's own files: its stored runs, and the sentences that close it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from mfbench.benchmarks.harness import user_data
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.extrapolation import curve_lines
from mfbench.benchmarks.reports.recommend import reason
from mfbench.benchmarks.reports.results import Cell, Results
from mfbench.benchmarks.reports.rows import budget_words
from mfbench.benchmarks.user.comparison import ComparisonPlan


def results_of(root: Path, plan: ComparisonPlan, specs: Sequence[RunSpec]) -> Results:
    """Read the stored runs of a comparison, with the label costs that were given."""
    rows = RunStore(root).rows()
    if plan.costs:  # those of this call count: stored runs may have been computed without
        rows["label_cost_cpu_s"] = user_data.label_costs(rows, specs, plan.task)
    return Results(rows, Details(root))


def verdicts(results: Results) -> list[str]:
    """Name the arm to use, or say why none can be named, in a sentence for each table."""
    return [advice(cell, several=len(results.cells) > 1) for cell in results.cells]


def doubts(plan: ComparisonPlan) -> list[str]:
    """Name the target of the verdict, and repeat notes that ask whether it was meant."""
    task = plan.task
    asked = [f"But {note}" for note in task.notes if note.endswith("?")]
    return [f"The target is '{task.fidelities[-1]}', of {task.sources[-1].path}.", *asked]


def advice(cell: Cell, several: bool = False) -> str:
    """Name the arm to use, or say why none can be named; on which core and how many frames, where there are several."""
    found = cell.recommendation()
    verdict = f"Use {found.arm}" if found.arm else "No arm can be named"
    if several:
        verdict += f" with {cell.n_high} HF frames on core {cell.regime['core']}"
        if cell.regime["budget"] != "default":
            verdict += f" and {budget_words(cell.regime['budget'])}"
    on = f"the test frames of {cell.split}" if cell.own_test else "held-out HF frames"
    return f"{verdict} (by {cell.metric} of {on}): {reason(cell)}"


def outlook(results: Results, plan: ComparisonPlan) -> list[str]:
    """Say what twice the HF labels would give, where there are several numbers of them: a paragraph a budget."""
    if len(plan.sizes) < 2:
        return []
    task, found = plan.task, []
    prices = [task.label_costs.get(name) for name in reversed(task.fidelities)]
    for regime in results.regimes:
        name = regime.regime["budget"]
        at = [] if name == "default" else [f"At {budget_words(name)}:"]
        found.append("\n".join([*at, *curve_lines(regime, round(fmean(plan.pools.training)), *prices[:2])]))
    return found
