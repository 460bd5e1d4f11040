"""Cost of an error with each arm: HF labels against single fidelity, and where the cheapest arm changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import reference_of, traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.break_even import Line, with_intervals
from mfbench.benchmarks.reports.curves import LearningCurves
from mfbench.benchmarks.reports.prices import Prices, label_prices, low_per_high, mean_costs
from mfbench.benchmarks.reports.results import Part, Results
from mfbench.benchmarks.reports.rows import REGIME, size_key
from mfbench.benchmarks.reports.starting_points import paid_by_others, uses_low
from mfbench.mfcore.metrics.economics import ArmCost, Range, cheapest_by_label_price, cheapest_by_predictions
from mfbench.mfcore.metrics.intervals import Array
from mfbench.mfcore.metrics.learning_curve import DataEfficiency

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Need:
    """Labels and time that an arm needs for the error that the reference has with all HF labels that it was given.

    Attributes
    ----------
    n_high
        HF labels, estimated; the smallest set size if `status` is "below", infinite if "not reached".
    low, high
        Of `n_high`, at 95 %; open bounds are 0 or infinite, and NaN where there is no interval.
    status
        "reached"; "not reached" within the set sizes of the arm; "below": already with the smallest of them.
    label_cpu_s, train_cpu_s, inference_us_per_atom
        Means over runs, between set sizes interpolated; NaN where not known or not reached.
    n_groups
        Groups of test structures that the interval is over, beside draws; 0 where there is none.
    """

    arm: str
    n_high: float
    low: float
    high: float
    status: str
    label_cpu_s: float
    train_cpu_s: float
    inference_us_per_atom: float
    n_groups: int = 0


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
    no_interval
        Why some of these numbers have no interval.
    paid_by_others
        Sentences on the checkpoints that arms start from, which these costs do not have.
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
    no_interval: tuple[str, ...] = ()
    paid_by_others: tuple[str, ...] = ()

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
        tail = {"level": LEVEL, "best_or_tied": False}
        for (arm, n), found in table.efficiency.items():
            if found is not None:
                i = found.interval
                name = {"quantity": f"data_efficiency_{table.metric}", "split": table.split, "unit": ""}
                values = {"estimate": i.estimate, "low": i.low, "high": i.high}
                over = _over(found.n_groups) | {"n_runs": i.n_runs}
                records.append(head | {"n_high": str(n), "arm": arm} | name | values | tail | over)
        for need in table.needs:
            name = {"quantity": f"n_high_needed_{table.metric}", "split": table.split, "unit": "HF labels"}
            values = {"estimate": need.n_high, "low": need.low, "high": need.high}
            place = {"n_high": str(table.n_reference), "arm": need.arm}
            records.append(head | place | name | values | tail | _over(need.n_groups))
    return records


def _over(n_groups: int) -> dict[str, Any]:
    """Name the units of an interval; there is none without groups of test structures."""
    return {"interval_over": "draws" if n_groups else "none", "n_groups": n_groups}


def _summary(part: Part) -> CostSummary | None:
    regime, metric, split = part.regime, part.metric, part.split
    arms = [arm for arm in part.arms if traits(arm).role not in ("ceiling", "floor")]
    learning = LearningCurves(part, arms, split, metric)
    curves = learning.runs
    against = reference_of(curves)
    if against is None or len(curves) < 2:
        return None
    sizes = tuple(sorted({n for curve in curves.values() for n in curve}))
    efficiency = {
        (arm, n): learning.efficiency(against, arm, n) if n in curve else None
        for arm, curve in curves.items()
        if arm != against
        for n in sizes
    }
    most = max(curves[against])
    own = learning.efficiency(against, against, most)
    needs = tuple(need for arm in curves if (need := _need(part, learning, arm, against)) is not None)
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
    lines = CostLines(part, prices, {arm: predicting[arm].prediction for arm in predicting})
    statuses = {need.arm: need.status for need in needs}
    reasons = dict(learning.reasons)

    def told(ranges: list[Range], line: Line) -> tuple[Range, ...]:
        return with_intervals(ranges, line, learning, against, statuses, reasons)

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
        told(by_predictions, lines.by_predictions),
        told(by_price, lines.by_label_price),
        not math.isfinite(prices.low),
        tuple(left_out) if by_predictions else (),
        tuple(reasons),
        tuple(paid_by_others(part)),
    )


@dataclass(frozen=True)
class CostLines:
    """Costs of arms as straight lines, from the HF labels that they need.

    Attributes
    ----------
    part, prices
        Runs of the regime, and prices of its labels.
    prediction
        Cost of predicting one atom, in CPU-s, by arm: as at the estimate of the labels that it needs.
    """

    part: Part
    prices: Prices
    prediction: dict[str, float]

    def by_predictions(self, arm: str, n_high: Array) -> tuple[Array, Array]:
        """Intercepts and slopes of the cost against the number of atoms predicted."""
        labels, training = self._made_of(arm, n_high)
        base = labels * self.prices.low + n_high * self.prices.high + training
        return base, np.full(len(n_high), self.prediction[arm])

    def by_label_price(self, arm: str, n_high: Array) -> tuple[Array, Array]:
        """Intercepts and slopes of the cost against the price of an HF label."""
        labels, training = self._made_of(arm, n_high)
        return labels * (self.prices.low if math.isfinite(self.prices.low) else 0.0) + training, n_high

    def _made_of(self, arm: str, n_high: Array) -> tuple[Array, Array]:
        """LF labels and the time of training; beyond the set sizes that were run, the time at the last one."""
        low = size_key(self.part.regime["n_low"]) if uses_low(self.part, arm) else 0.0
        each = low_per_high(self.part, arm, self.prices)
        means = _mean_costs(self.part, arm, "train_cpu_s")
        labels = low + each * n_high if each else np.full(len(n_high), low)
        return labels, np.interp(n_high, list(means), list(means.values()))


def _need(part: Part, curves: LearningCurves, arm: str, against: str) -> Need | None:
    """Turn the roles round: how many of the arm's labels there are to one of the reference's, at the same error."""
    most = max(curves.runs[against])
    n_groups = 0
    if arm == against:
        share, low, high, status = 1.0, 1.0, 1.0, "reached"
    else:
        found = curves.efficiency(arm, against, most)
        if found is None:
            return None
        share, low, high, status = found.interval.estimate, found.interval.low, found.interval.high, found.status
        n_groups = found.n_groups
    n = min(curves.runs[arm]) if status == "below" else most * share
    labels, train, inference = (
        _at(part, arm, column, n) for column in ("label_cost_cpu_s", "train_cpu_s", "inference_us_per_atom")
    )
    return Need(arm, float(n), most * low, most * high, status, labels, train, inference, n_groups)


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
    if not uses_low(part, need.arm):
        low = 0.0
    elif not math.isfinite(low):
        return None
    low += need.n_high * low_per_high(part, need.arm, prices)
    return ArmCost(low, need.n_high, need.train_cpu_s, 1e-6 * need.inference_us_per_atom)


def _atoms_per_frame(table: DataFrame) -> float:
    frames = table.drop_duplicates(["split", "structure_id"])
    return float(np.mean([float(n) for n in frames["n_atoms"]])) if len(frames) else math.nan
