"""The numbers behind a page's charts and its budget panel, as JSON values; they are not rounded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.costs import CostSummary
from mfbench.benchmarks.reports.figures.style import PANELS, looks
from mfbench.benchmarks.reports.html.budget import POINTS, REACH, ArmCurve
from mfbench.benchmarks.reports.html.origin import Origin
from mfbench.benchmarks.reports.metrics import of_family
from mfbench.benchmarks.reports.results import Part, Results
from mfbench.benchmarks.reports.rows import REGIME, size_key
from mfbench.benchmarks.reports.summary import COSTS
from mfbench.mfcore.metrics.comparison import PRIOR_UNITS, compare_arms
from mfbench.mfcore.metrics.intervals import Runs, mean_interval
from mfbench.mfcore.metrics.learning_curve import fit_power_law
from mfbench.mfcore.metrics.recommendation import THRESHOLD
from mfbench.mfcore.metrics.significance import holm

if TYPE_CHECKING:
    from pandas import DataFrame

MARKERS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "P": "cross",
    "X": "x",
    "*": "star",
    "h": "hexagon",
    "p": "pentagon",
}
"""Plotly's names of matplotlib's markers."""
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
DARK = {"#000000": "#f2f2f2", "#0072B2": "#4aa8e0", "#808080": "#a8a8a8"}
"""Replacement of colours that a dark page would swallow."""

SIZES_A_CURVE = 60
"""Positions of the slider of HF labels."""


def payload(results: Results, origin: Origin, costs: Sequence[CostSummary] = ()) -> dict[str, Any]:
    """Collect what the page's script needs.

    Parameters
    ----------
    results
        The runs.
    origin
        Where they come from.
    costs
        From `mfbench.benchmarks.reports.costs.cost_summaries`: the prices of labels.

    Returns
    -------
    dict
        `rule` (constants of :mod:`mfbench.benchmarks.reports.html.budget`), `arms` (style and needs of each), `metrics`
        and `splits` (names and labels), and `regimes`, each with its runs, curves and paired ratios.
    """
    styles = _styles(results.arms)
    metrics = of_family({metric for metric, _ in results.measured}, "error")
    names = [metric.name for metric in metrics]
    known = {tuple(cost.regime.values()): cost for cost in costs}
    splits = sorted({split for name in names for split in results.splits_of(name)}, key=_split_rank)
    return {
        "rule": {"reach": REACH, "points": POINTS, "threshold": THRESHOLD, "prior": int(PRIOR_UNITS), "level": LEVEL},
        "arms": [_arm(arm) | styles[arm] for arm in results.arms],
        "metrics": [{"name": m.name, "label": m.label, "unit": m.unit} for m in metrics],
        "splits": [{"name": s, "label": PANELS.get(s, s)} for s in splits],
        "costs": [
            {"name": key, "title": COST_TITLES.get(key, title), "unit": unit, "scale": scale}
            for key, (title, unit, scale) in COSTS.items()
            if key in results.rows and key != "inference_evaluations"
        ],
        "prices": prices(),
        "regimes": [
            _regime(f"regime-{index}", part, names, splits, origin, known.get(tuple(part.regime.values())))
            for index, part in enumerate(results.regimes)
        ],
    }


COST_TITLES = {
    "train_atom_gradients": "training compute",
    "train_wall_s": "training time",
    "label_cost_cpu_s": "measured label cost",
    "inference_us_per_atom": "prediction time",
}


def arm_curves(part: Part, metric: str, split: str) -> dict[str, ArmCurve]:
    """Read what the budget rule needs of each arm but the ceiling, from the runs of one regime."""
    found = {}
    for arm in part.candidates:
        sizes = [int(n) for n in part.sizes_of_arm(arm) if math.isfinite(size_key(n))]
        curve = {n: part.of_size(n).positive(arm, split, metric) for n in sizes}
        failed = {n: part.of_size(n).counts(arm)[1] for n in sizes}
        known = traits(arm)
        per_high = int(known.needs_paired and part.regime["pairing"] == "disjoint")
        found[arm] = ArmCurve(curve, known.uses_low, per_high, {n: k for n, k in failed.items() if k})
    return found


def prices() -> list[float]:
    """Positions of the slider of the HF label's price: a few a decade, from 0.1 to a million."""
    steps = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
    return [float(f"{step * 10.0**decade:g}") for decade in range(-1, 6) for step in steps] + [1e6]


def slider_sizes(sizes: Sequence[int]) -> list[int]:
    """Positions of the slider of HF labels: the measured sizes and numbers spread evenly in log n between them."""
    if not sizes:
        return []
    between = np.exp(np.linspace(math.log(sizes[0]), math.log(sizes[-1]), SIZES_A_CURVE))
    return sorted({*sizes, *(round(float(n)) for n in between)})


def _regime(
    name: str,
    part: Part,
    metrics: Sequence[str],
    splits: Sequence[str],
    origin: Origin,
    cost: CostSummary | None,
) -> dict[str, Any]:
    regime = part.regime
    runs = part.by_run.sort_values(["arm", "n_high", "draw", "seed", "run_key"], kind="stable")
    keys = [str(key) for key in runs["run_key"]]
    series = [(metric, split) for metric in metrics for split in splits if (metric, split) in part.measured]
    return {
        "id": name,
        "regime": {key: regime[key] for key in REGIME},
        "nLow": _n_low(regime["n_low"], keys, origin),
        "metric": part.metric,
        "split": part.split,
        "sizes": part.sizes,
        "places": part.places,
        "sliderSizes": slider_sizes(part.sizes),
        "labelPrices": _label_prices(cost),
        "runs": [
            {"key": str(r["run_key"]), "arm": str(r["arm"]), "n": str(r["n_high"])}
            | {"draw": int(r["draw"]), "seed": int(r["seed"])}
            | ({"failed": True} if r["run_key"] in part.broken else {})
            for r in runs.to_dict("records")
        ],
        "series": {f"{metric}|{split}": _series(part, keys, metric, split) for metric, split in series},
        "costs": {key: _costs(runs, key) for key in COSTS if key in part.rows and key != "inference_evaluations"},
    }


def _series(part: Part, keys: Sequence[str], metric: str, split: str) -> dict[str, Any]:
    """One metric on one split: the value of each run, means with intervals, fitted laws and paired ratios."""
    rows = part.rows
    scored = rows[(rows["metric"] == metric) & (rows["split"] == split) & (rows["status"] == "finished")]
    values = dict(zip(scored["run_key"].astype(str), scored["value"].astype(float), strict=True))
    curves: dict[str, dict[str, Runs]] = {}
    for arm in part.arms:
        for size in part.sizes_of_arm(arm):
            if found := part.of_size(size).positive(arm, split, metric):
                curves.setdefault(arm, {})[size] = found
    return {
        "values": [finite(values.get(key, math.nan)) for key in keys],
        "means": {arm: {size: _log_mean(runs) for size, runs in curve.items()} for arm, curve in curves.items()},
        "laws": {arm: law for arm, curve in curves.items() if (law := _law(curve)) is not None},
        "ratios": _ratios(curves),
    }


def _log_mean(runs: Runs) -> list[float | str | None]:
    """Geometric mean with its interval, numbers of runs and units, and what units are.

    A logarithmic axis shows this mean without bias.
    """
    logs = mean_interval({key: math.log(value) for key, value in runs.items()}, LEVEL)
    return [*(finite(_exp(x)) for x in (logs.estimate, logs.low, logs.high)), logs.n_runs, logs.n_units, logs.over]


def _law(curve: Mapping[str, Runs]) -> list[float] | None:
    """Amplitude and exponent of the fitted power law; None where no draw has every size."""
    try:
        law = fit_power_law({int(size): runs for size, runs in curve.items() if size != "all"})
    except ValueError:
        return None
    return [law.amplitude.estimate, law.exponent.estimate]


def _ratios(curves: Mapping[str, Mapping[str, Runs]]) -> dict[str, dict[str, dict[str, list[float | str | None]]]]:
    """By size, reference and arm: ratio of errors, its moderated interval, and p adjusted after Holm over the arms."""
    found: dict[str, dict[str, dict[str, list[float | str | None]]]] = {}
    for size in sorted({size for curve in curves.values() for size in curve}, key=size_key):
        runs = {arm: curve[size] for arm, curve in curves.items() if size in curve and not traits(arm).is_ceiling}
        if len(runs) < 2 or not set.intersection(*(set(r) for r in runs.values())):
            continue
        comparison = compare_arms(runs)
        for reference in runs:
            others = [arm for arm in runs if arm != reference]
            adjusted = holm({arm: comparison.p_different(arm, reference) for arm in others})
            for arm in others:
                interval = comparison.ratio(arm, reference, LEVEL)
                numbers = (interval.estimate, interval.low, interval.high, adjusted[arm])
                line: list[float | str | None] = [
                    *(finite(x, 6) for x in numbers),
                    interval.n_runs,
                    interval.n_units,
                    interval.over,
                ]
                found.setdefault(size, {}).setdefault(reference, {})[arm] = line
    return found


def _costs(runs: DataFrame, column: str) -> dict[str, dict[str, float]]:
    """Mean cost by arm and size, over finished runs where it is known."""
    known = runs[(runs["status"] == "finished") & runs[column].map(math.isfinite)]
    means = known.groupby(["arm", "n_high"], as_index=False)[[column]].mean()
    found: dict[str, dict[str, float]] = {}
    for line in means.to_dict("records"):
        found.setdefault(str(line["arm"]), {})[str(line["n_high"])] = float(line[column])
    return found


def _label_prices(found: CostSummary | None) -> dict[str, float] | None:
    """Measured prices of one label in CPU-s, where both are known."""
    if found is None or not (math.isfinite(found.prices.low) and found.prices.high > 0.0):
        return None
    return {"high": found.prices.high, "low": found.prices.low}


def _n_low(n_low: str, keys: Sequence[str], origin: Origin) -> int | None:
    """Return the number of LF labels: what the regime says, or for "all" what the records say."""
    if n_low.isdigit():
        return int(n_low)
    counts = {origin.n_low[key] for key in keys if key in origin.n_low}
    return max(counts) if counts else None


def _arm(arm: str) -> dict[str, Any]:
    known = traits(arm)
    return {
        "name": arm,
        "label": known.label,
        "role": known.role,
        "usesLow": known.uses_low,
        "lowPerHigh": known.needs_paired,
    }


def _styles(arms: Sequence[str]) -> dict[str, dict[str, str]]:
    return {
        arm: {
            "colour": look.colour,
            "dark": DARK.get(look.colour, look.colour),
            "marker": MARKERS.get(str(look.marker), "circle"),
            "dash": DASHES.get(str(look.line), "solid"),
        }
        for arm, look in looks(arms).items()
    }


def finite(value: float, digits: int | None = None) -> float | None:
    """Return a number as JSON can hold it: None for NaN and infinities; rounded to `digits` significant digits."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}") if digits else float(value)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf


def _split_rank(split: str) -> tuple[int, str]:
    return (list(PANELS).index(split) if split in PANELS else len(PANELS), split)
