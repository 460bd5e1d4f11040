"""Tables of a report as pandas DataFrames: numbers with their intervals, an arm a line."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.summary import Quantity, Summary, summaries, tidy

VALUE, HALF_WIDTH, BEST = "value", "±", "best or tied"


def wide(results: Results) -> dict[str, pd.DataFrame]:
    """Make a table for each regime and HF set size, by its title.

    Returns
    -------
    dict of DataFrame
        Lines are arms. Columns have two levels: quantity with its unit, and "value", "±" (half of the 95 % confidence
        interval; NaN where there is none) and, of errors, "best or tied". Numbers are not rounded.
    """
    return {table.cell.title: _wide(table) for table in summaries(results)}


def long(results: Results) -> pd.DataFrame:
    """Make one table of all, a line for each arm and quantity, with the limits of intervals."""
    return pd.DataFrame(tidy(summaries(results)))


def _wide(table: Summary) -> pd.DataFrame:
    further = (quantity for section in table.sections for quantity in section.quantities)
    columns: dict[tuple[str, str], list[Any]] = {}
    for quantity in (*table.scores, *table.costs, *table.retention, *further):
        entries = [table.entries.get((line.arm, quantity)) for line in table.lines]
        title, scale = _title(quantity), quantity.scale
        columns[title, VALUE] = [scale * e.interval.estimate if e else float("nan") for e in entries]
        if any(e is not None and e.interval.n_units > 1 for e in entries):
            columns[title, HALF_WIDTH] = [
                scale * (e.interval.high - e.interval.low) / 2 if e else float("nan") for e in entries
            ]
            if not quantity.is_cost:
                columns[title, BEST] = [e is not None and e.best for e in entries]
    columns["runs", VALUE] = [line.n_runs for line in table.lines]
    columns["failed", VALUE] = [line.n_failed for line in table.lines]
    return pd.DataFrame(columns, index=pd.Index([line.arm for line in table.lines], name="arm"))


def _title(quantity: Quantity) -> str:
    return f"{quantity.title} ({quantity.unit})" if quantity.unit else quantity.title
