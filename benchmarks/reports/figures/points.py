"""Points of figures: runs of an arm, means with intervals on a logarithmic scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mfbench.mfcore.metrics.intervals import Interval, Runs, mean_interval, unit_means

if TYPE_CHECKING:
    from pandas import DataFrame


def log_interval(runs: Runs) -> Interval:
    """Geometric mean with its interval: what a logarithmic axis shows without bias, and never below zero."""
    logs = mean_interval({key: math.log(value) for key, value in runs.items()})
    low, high = (math.exp(min(bound, 700.0)) for bound in (logs.low, logs.high))
    return Interval(math.exp(logs.estimate), low, high, logs.level, logs.n_runs, logs.n_units, logs.over)


def by_run(table: DataFrame, column: str) -> dict[tuple[int, int], float]:
    """Mean of a column of a detail in each run, by (draw, seed)."""
    values: dict[tuple[int, int], list[float]] = {}
    for run_draw, seed, value in zip(table["draw"], table["seed"], table[column], strict=True):
        values.setdefault((int(run_draw), int(seed)), []).append(float(value))
    return {run: sum(found) / len(found) for run, found in sorted(values.items())}


def levels(table: DataFrame, column: str) -> list[tuple[float, DataFrame]]:
    """Go through the values of a numeric column, ascending, each with its lines."""
    return [(value, table[table[column] == value]) for value in sorted({float(x) for x in table[column]})]


def draw_means(runs: Runs) -> list[float]:
    """Geometric mean of each independent unit (draw)."""
    means, _ = unit_means({key: math.log(value) for key, value in runs.items()})
    return [math.exp(value) for value in means]
