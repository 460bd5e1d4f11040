"""Cost of an error with each arm: HF labels against single fidelity, and where the cheapest arm changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import reference_of, traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.prices import Prices, label_prices, low_per_high, mean_costs
from mfbench.benchmarks.reports.results import Part, Results
from mfbench.benchmarks.reports.rows import REGIME, size_key
from mfbench.mfcore.metrics.economics import ArmCost, Range, cheapest_by_label_price, cheapest_by_predictions
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.learning_curve import DataEfficiency, data_efficiency

if TYPE_CHECKING:
    from pandas import DataFrame

CurveOfRuns = dict[int, Runs]


@dataclass(frozen=True)
class Need:
    """Labels and time that an arm needs for the error that the reference has with all HF labels that it was given.

    Attributes
    ----------
    n_high
        HF labels, estimated; the smallest set size if `status` is "below", infinite if "not reached".
    low, high
        Of `n_high`, at 95 %; open bounds are 0 or infinite, and NaN without repeats.
    status
        "reached"; "not reached" within the set sizes of the arm; "below": already with the smallest of them.
    label_cpu_s, train_cpu_s, inference_us_per_atom
        Means over runs, between set sizes interpolated; NaN where not known or not reached.
    """

    arm: str
    n_high: float
    low: float
    high: float
    status: str
    label_cpu_s: float
    train_cpu_s: float
    inference_us_per_atom: float


@dataclass(frozen=True)
class CostSummary:
    """Costs of one regime.

    Attributes
    ----------
    regime
        Its parts.
    metric, split
        The error that arms are compared by.
    reference
        The arm whose HF labels those of the others are counted against.
    sizes
        HF set sizes.
    efficiency
        HF labels that the reference needs for the error that an arm has with n, over n; by arm and n. None where it
        cannot be fitted.
    n_reference, error
        The error that `needs` are for: the reference's, fitted, with this many HF labels.
    needs
        Of each arm that has a curve.
    prices
        Of labels.
    by_predictions
        The cheapest arm by the number of atoms predicted (atoms times structures); empty if a price is not known.
    by_label_price
        The cheapest arm by the price of an HF label in CPU-s, predictions left out.
    without_low_price
        Whether `by_label_price` takes LF labels as free, because their price is not known.
    left_out
        Arms that `by_predictions` cannot have: they need LF labels, and the atoms of a frame are not known.
    """

    regime: dict[str, str]
    metric: str
    split: str
    reference: str
    sizes: tuple[int, ...]
    efficiency: dict[tuple[str, int], DataEfficiency | None]
    n_reference: int
    error: float
    needs: tuple[Need, ...]
    prices: Prices
    by_predictions: tuple[Range, ...]
    by_label_price: tuple[Range, ...]
    without_low_price: bool
    left_out: tuple[str, ...]

    @property
    def arms(self) -> list[str]:
        """Arms of the table of data efficiency."""
        return list(dict.fromkeys(arm for arm, _ in self.efficiency))


def cost_summaries(results: Results) -> list[CostSummary]:
    """Make the cost tables, one for each regime in which the reference and another arm have two HF set sizes.

    The detail "predictions" tells how many atoms a test frame has, which the price of an LF label for each prediction
    needs.
    """
    found = (_summary(part) for part in results.regimes)
    return [summary for summary in found if summary is not None]


def tidy_costs(tables: list[CostSummary]) -> list[dict[str, Any]]:
    """Write cost tables as records with the keys of `mfbench.benchmarks.reports.summary.tidy`.

    Quantities are `data_efficiency_METRIC`, for each arm and n, and `n_high_needed_METRIC`. Where the error is not
    reached the estimate is infinite and `low` the largest factor or number that was tried.
    """
    records: list[dict[str, Any]] = []
    for table in tables:
        head = {name: table.regime[name] for name in REGIME}
        tail = {"level": LEVEL, "interval_over": "draws", "n_groups": 0, "best_or_tied": False}
        for (arm, n), found in table.efficiency.items():
            if found is not None:
                i = found.interval
                name = {"quantity": f"data_efficiency_{table.metric}", "split": table.split, "unit": ""}
                values = {"estimate": i.estimate, "low": i.low, "high": i.high}
                records.append(head | {"n_high": str(n), "arm": arm} | name | values | tail | {"n_runs": i.n_runs})
        for need in table.needs:
            name = {"quantity": f"n_high_needed_{table.metric}", "split": table.split, "unit": "HF labels"}
            values = {"estimate": need.n_high, "low": need.low, "high": need.high}
            records.append(head | {"n_high": str(table.n_reference), "arm": need.arm} | name | values | tail)
    return records


def _summary(part: Part) -> CostSummary | None:
    regime, metric, split = part.regime, part.metric, part.split
    curves = {
        arm: curve
        for arm in part.arms
        if traits(arm).role not in ("ceiling", "floor") and len(curve := _curve(part, arm, metric, split)) > 1
    }
    against = reference_of(curves)
    if against is None or len(curves) < 2:
        return None
    reference = curves[against]
    sizes = tuple(sorted({n for curve in curves.values() for n in curve}))
    efficiency = {
        (arm, n): _efficiency(reference, curve, n) if n in curve else None
        for arm, curve in curves.items()
        if arm != against
        for n in sizes
    }
    most = max(reference)
    own = _efficiency(reference, reference, most)
    needs = tuple(
        need
        for arm, curve in curves.items()
        if (need := _need(part, arm, curve, reference, arm == against)) is not None
    )
    if own is None:
        return None
    prices = label_prices(part)
    atoms = _atoms_per_frame(part.detail("predictions"))
    costs = {need.arm: _arm_cost(need, part, prices) for need in needs if need.status != "not reached"}
    known = {arm: cost for arm, cost in costs.items() if cost is not None}
    predicting = {}
    left_out = []
    for arm, cost in known.items():
        if traits(arm).self_contained:
            predicting[arm] = cost
        elif math.isfinite(atoms) and math.isfinite(prices.low):
            each = cost.prediction + prices.low / atoms
            predicting[arm] = ArmCost(cost.n_low, cost.n_high, cost.training, each)
        else:
            left_out.append(arm)
    by_predictions: list[Range] = []
    if predicting and math.isfinite(prices.low) and math.isfinite(prices.high):
        by_predictions = cheapest_by_predictions(predicting, low_price=prices.low, high_price=prices.high)
    low_price = prices.low if math.isfinite(prices.low) else 0.0
    by_price = cheapest_by_label_price(known, low_price=low_price, n_predictions=0.0) if known else []
    return CostSummary(
        regime,
        metric,
        split,
        against,
        sizes,
        efficiency,
        most,
        own.error,
        needs,
        prices,
        tuple(by_predictions),
        tuple(by_price),
        not math.isfinite(prices.low),
        tuple(left_out) if by_predictions else (),
    )


def _curve(part: Part, arm: str, metric: str, split: str) -> CurveOfRuns:
    """Runs of an arm by HF set size; errors of zero have no logarithm and are left out."""
    curve = {int(n): part.of_size(n).positive(arm, split, metric) for n in _numbers(part, arm)}
    return {n: runs for n, runs in curve.items() if runs}


def _numbers(part: Part, arm: str) -> list[str]:
    """HF set sizes of an arm that are numbers."""
    return [n for n in part.sizes_of_arm(arm) if math.isfinite(size_key(n))]


def _efficiency(reference: CurveOfRuns, curve: CurveOfRuns, n: int) -> DataEfficiency | None:
    try:
        return data_efficiency(reference, curve, n, LEVEL)
    except ValueError:  # no draw has every size, or a draw has them for one arm only
        return None


def _need(part: Part, arm: str, curve: CurveOfRuns, reference: CurveOfRuns, itself: bool) -> Need | None:
    """Turn the roles round: how many of the arm's labels there are to one of the reference's, at the same error."""
    most = max(reference)
    if itself:
        share, low, high, status = 1.0, 1.0, 1.0, "reached"
    else:
        found = _efficiency(curve, reference, most)
        if found is None:
            return None
        share, low, high, status = found.interval.estimate, found.interval.low, found.interval.high, found.status
    n = min(curve) if status == "below" else most * share
    costs = [_at(part, arm, column, n) for column in ("label_cost_cpu_s", "train_cpu_s", "inference_us_per_atom")]
    return Need(arm, float(n), most * low, most * high, status, *costs)


def _at(part: Part, arm: str, column: str, n: float) -> float:
    """Mean cost of an arm's runs at an HF set size, linear between those that were run; NaN beyond them."""
    if not math.isfinite(n):
        return math.nan
    means = _mean_costs(part, arm, column)
    if not means or not min(means) * (1.0 - 1e-9) <= n <= max(means) * (1.0 + 1e-9):
        return math.nan
    return float(np.interp(n, list(means), list(means.values())))


def _mean_costs(part: Part, arm: str, column: str) -> dict[int, float]:
    return {int(n): cost for n, cost in mean_costs(part, arm, column).items() if math.isfinite(size_key(n))}


def _arm_cost(need: Need, part: Part, prices: Prices) -> ArmCost | None:
    """Labels and time of an arm; LF labels of HF frames count by their price: nothing where they come along."""
    if not (math.isfinite(need.train_cpu_s) and math.isfinite(need.inference_us_per_atom)):
        return None
    low = size_key(part.regime["n_low"])
    if not traits(need.arm).uses_low:
        low = 0.0
    elif not math.isfinite(low):
        return None
    low += need.n_high * low_per_high(part, need.arm, prices)
    return ArmCost(low, need.n_high, need.train_cpu_s, 1e-6 * need.inference_us_per_atom)


def _atoms_per_frame(table: DataFrame) -> float:
    frames = table.drop_duplicates(["split", "structure_id"])
    return float(np.mean([float(n) for n in frames["n_atoms"]])) if len(frames) else math.nan
