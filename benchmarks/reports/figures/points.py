"""What figures are drawn from: runs of an arm, means with intervals on a logarithmic scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mfbench.benchmarks.reports.rows import runs_of
from mfbench.benchmarks.reports.summary import SPLITS
from mfbench.mfcore.metrics.intervals import Interval, Runs, mean_interval, unit_means

if TYPE_CHECKING:
    from pandas import DataFrame


def of_size(rows: DataFrame, n: int | str) -> DataFrame:
    """Rows of one HF set size."""
    return rows[rows["n_high"].astype(str) == str(n)]


def splits_of(rows: DataFrame, metric: str) -> list[str]:
    """Test splits that a metric was scored on, in their order."""
    present = {str(split) for split in rows.loc[rows["metric"] == metric, "split"] if split}
    return [name for name in SPLITS if name in present] + sorted(present - set(SPLITS))


def positive_runs(rows: DataFrame, arm: str, split: str, metric: str) -> Runs:
    """Runs that a logarithmic axis can show."""
    return {key: value for key, value in runs_of(rows, arm, split, metric).items() if value > 0.0}


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
