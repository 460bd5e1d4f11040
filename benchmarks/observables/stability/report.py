"""Reports on molecular dynamics beyond the rows: how replicas ended, and how sure a mean survival time is."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, cast

from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.mfcore.metrics.intervals import Interval
from mfbench.mfcore.metrics.survival import Ending, Lifetime, Survival, survival

if TYPE_CHECKING:
    from pandas import DataFrame

RESAMPLES = 500
"""Of the bootstrap over starting frames."""


def lifetimes(table: DataFrame) -> list[Lifetime]:
    """Read lines of the detail `survival`."""
    columns = (table[name] for name in ("time_ps", "status", "start", "mode"))
    return [
        Lifetime(float(time), cast(Ending, str(status)), str(start), str(mode))
        for time, status, start, mode in zip(*columns, strict=True)
    ]


def survival_of(table: DataFrame, n_resamples: int) -> Survival | None:
    """Kaplan-Meier curve and mean of lines of the detail `survival`; None if no replica failed or survived."""
    found = lifetimes(table)
    if all(lifetime.status == "error" for lifetime in found):
        return None
    return survival(found, float(table["limit_ps"].max()), level=LEVEL, n_resamples=n_resamples)


def over_starts(table: DataFrame, arm: str, metric: str, plain: Interval) -> tuple[Interval, int] | None:
    """Give the restricted mean survival time of an arm's only run an interval over its starting frames.

    Parameters
    ----------
    table
        The detail `survival` of one regime and HF set size.
    arm, metric
        The quantity.
    plain
        The interval over runs.

    Returns
    -------
    interval, n_starts
        None for another metric, where runs repeat (they say more than starting frames do), or where the interval over
        starting frames has no bounds.
    """
    kelvin = re.fullmatch(r"md_rmst_ps_(\d+(?:\.\d+)?)K", metric)
    if kelvin is None or plain.n_units > 1 or not len(table):
        return None
    part = table[(table["arm"] == arm) & (table["temperature_k"] == float(kelvin[1]))]
    found = survival_of(part, RESAMPLES) if len(part) else None
    if found is None or not found.rmst_low_ps <= found.rmst_high_ps:
        return None
    bounds = found.rmst_low_ps, found.rmst_high_ps
    interval = Interval(plain.estimate, *bounds, LEVEL, plain.n_runs, plain.n_units, plain.over)
    return interval, found.n_groups


def failures(table: DataFrame) -> dict[str, dict[str, str]]:
    """Count replicas of molecular dynamics, and how they ended: columns of words by arm.

    Parameters
    ----------
    table
        The detail `survival`.
    """
    counts: dict[str, Counter[str]] = {}
    for arm, status, mode in zip(table["arm"], table["status"], table["mode"], strict=True):
        counts.setdefault(str(arm), Counter())[str(mode) if status == "failure" else f"={status}"] += 1
    if not counts:
        return {}
    columns: dict[str, dict[str, str]] = {"replicas": {}, "errors": {}, "failures": {}}
    for arm, found in counts.items():
        columns["replicas"][arm] = str(sum(found.values()))
        columns["errors"][arm] = str(found["=error"])
        modes = [
            (mode, n) for mode, n in sorted(found.items(), key=lambda item: (-item[1], item[0])) if mode[:1] != "="
        ]
        columns["failures"][arm] = ", ".join(f"{mode or 'unknown'} {n}" for mode, n in modes) or "none"
    return columns
