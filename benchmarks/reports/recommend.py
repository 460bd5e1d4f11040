"""Which arm to use, read from stored rows."""

from __future__ import annotations

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.results import Cell, Results
from mfbench.mfcore.metrics.recommendation import Recommendation


def recommendation(
    results: Results,
    metric: str | None = None,
    split: str | None = None,
    self_contained: bool = False,
) -> dict[str, Recommendation]:
    """Name the arm to use in each regime and HF set size, or say why none can be named.

    The ceiling is no candidate: it is given labels that the others do not have. Parameters are those of
    :meth:`mfbench.benchmarks.reports.results.Cell.recommendation`.

    Returns
    -------
    dict
        By the table's title.
    """
    return {cell.title: cell.recommendation(metric, split, self_contained) for cell in results.cells}


def advice(cell: Cell) -> str:
    """Say in words what the recommendation of a table is, and by which metric."""
    return f"By {cell.metric}, {cell.split}: {reason(cell)}"


def reason(cell: Cell) -> str:
    """Give the reason of a recommendation, and that of the one among self-contained arms if it is another."""
    first = cell.recommendation()
    if all(traits(arm).self_contained for arm in first.compared):
        return first.reason
    second = cell.recommendation(self_contained=True)
    if len(second.compared) < 2 or second.reason == first.reason:
        return first.reason
    return f"{first.reason} Of the arms that need no LF calculation to predict, {second.reason}"
