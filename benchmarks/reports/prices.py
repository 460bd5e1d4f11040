"""Prices of labels, from what runs of different sizes and arms paid for theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mfbench.benchmarks.harness.frames_used import DETAIL
from mfbench.benchmarks.reports.arms import reference_of, traits
from mfbench.benchmarks.reports.results import Part
from mfbench.benchmarks.reports.rows import size_key
from mfbench.benchmarks.reports.starting_points import uses_low
from mfbench.mfcore.errors import ConfigError


@dataclass(frozen=True)
class Prices:
    """CPU-s of one label; NaN where it cannot be told.

    Attributes
    ----------
    low, high
        Of one LF and of one HF label.
    low_of_high
        Of the LF label of an HF frame, for arms that need it: nothing where it comes with the HF label, whose
        calculation starts from it, or where HF frames are LF frames.
    """

    low: float
    high: float
    low_of_high: float = math.nan

    @property
    def low_per_high(self) -> float:
        """LF labels that such an arm pays for each HF label, by their prices; NaN where these are not known."""
        return self.low_of_high / self.low if self.low > 0.0 else math.nan


def mean_costs(part: Part, arm: str, column: str) -> dict[str, float]:
    """Mean cost of an arm's runs by HF set size, where it is known."""
    found = {n: list(part.of_size(n).costs(arm, column).values()) for n in part.sizes_of_arm(arm)}
    return {n: float(np.mean(values)) for n, values in found.items() if values}


def label_prices(part: Part) -> Prices:
    """Tell label prices of a regime apart: the reference pays for HF labels only, most others for LF labels as well.

    One size is enough where runs have recorded their frames, of which those that weights are selected on are paid, too;
    else the price of an HF label is the slope over sizes.
    """
    against = reference_of(part.candidates)
    if against is None or traits(against).uses_low:
        return Prices(math.nan, math.nan)
    own = mean_costs(part, against, "label_cost_cpu_s")
    counts = _high_labels(part, against)
    high = _high_price(own, counts)
    n_low = size_key(part.regime["n_low"])
    low = math.nan
    arms = [arm for arm in part.candidates if uses_low(part, arm)]
    paid = {arm: mean_costs(part, arm, "label_cost_cpu_s") for arm in arms}
    if math.isfinite(n_low) and n_low > 0:
        extra = [
            (paid[arm][n] - own[n]) / n_low
            for arm in arms
            if not traits(arm).needs_paired
            for n in paid[arm]
            if n in own
        ]
        low = _median(extra)
    further = [
        (paid[arm][n] - own[n] - n_low * low) / counts[n]
        for arm in arms
        if traits(arm).needs_paired
        for n in paid[arm]
        if n in own and n in counts
    ]
    slopes = [_slope(paid[arm]) - high for arm in arms if traits(arm).needs_paired]
    low_of_high = _median(further) if further else _median(slopes)
    if math.isfinite(low_of_high) and abs(low_of_high) < 1e-6 * high:  # rounding of stored costs
        low_of_high = 0.0
    return Prices(*(price if price >= 0.0 else math.nan for price in (low, high, low_of_high)))


def low_per_high(part: Part, arm: str, prices: Prices | None) -> float:
    """LF labels that an arm pays for each HF label beside those of the regime: 0 for most.

    By the measured prices; where these are not known 1, or 0 where the task says that they come with HF labels.
    """
    if not traits(arm).needs_paired or part.regime["pairing"] != "disjoint":
        return 0.0
    if prices is not None and math.isfinite(prices.low_per_high):
        return prices.low_per_high
    return 0.0 if _comes_along(part.regime["task"]) else 1.0


def _comes_along(task: str) -> bool:
    """Say whether a registered task has the label of the next level with each HF label."""
    from mfbench.benchmarks.tasks.registry import make_task, task_names

    try:
        found = make_task(task) if task in task_names() else None
    except ConfigError:
        return False
    return found is not None and found.fidelities[-1] in found.starts_from


def _high_labels(part: Part, arm: str) -> dict[str, float]:
    """Mean number of HF labels that an arm's runs used, to train and to select on, by HF set size."""
    frames = part.detail(DETAIL)
    lines = frames[frames["arm"] == arm]
    target = set(lines.loc[lines["part"] == "validation", "fidelity"])
    used = lines[lines["fidelity"].isin(target)].groupby(["n_high", "run_key"], as_index=False)["n"].sum()
    means = used.groupby("n_high", as_index=False)["n"].mean()
    return {str(line["n_high"]): float(line["n"]) for line in means.to_dict("records")}


def _high_price(own: Mapping[str, float], counts: Mapping[str, float]) -> float:
    known = [own[n] / counts[n] for n in own if counts.get(n, 0.0) > 0.0]
    return float(np.mean(known)) if known else _slope(own)


def _slope(costs: Mapping[str, float]) -> float:
    """CPU-s that one more HF label costs; NaN from a single size."""
    sized = {size_key(n): cost for n, cost in costs.items() if math.isfinite(size_key(n))}
    return float(np.polyfit(list(sized), list(sized.values()), 1)[0]) if len(sized) > 1 else math.nan


def _median(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan
