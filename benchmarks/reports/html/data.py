"""The numbers behind a page's charts and its budget panel, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.figures.style import PANELS, looks
from mfbench.benchmarks.reports.html.budget import REACH, REMARKS
from mfbench.benchmarks.reports.html.grid import Grid, Reasons
from mfbench.benchmarks.reports.html.origin import Origin
from mfbench.benchmarks.reports.html.values import finite
from mfbench.benchmarks.reports.metrics import of_family
from mfbench.benchmarks.reports.results import Part, Results
from mfbench.benchmarks.reports.rows import REGIME, size_key
from mfbench.benchmarks.reports.summary import COSTS
from mfbench.mfcore.metrics.comparison import compare_arms
from mfbench.mfcore.metrics.intervals import Runs, mean_interval
from mfbench.mfcore.metrics.learning_curve import fit_power_law
from mfbench.mfcore.metrics.recommendation import FEWEST_GROUPS
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


def payload(results: Results, origin: Origin) -> dict[str, Any]:
    """Collect what the page's script needs.

    Parameters
    ----------
    results
        The runs.
    origin
        Where they come from.

    Returns
    -------
    dict
        `rule` (constants of :mod:`mfbench.benchmarks.reports.html.budget`), `arms` (style of each), `metrics` and
        `splits` (names and labels), `regimes`, each with its runs, curves, paired ratios and answers of the budget
        panel, and `reasons`, the table that these answers refer to.
    """
    styles = _styles(results.arms)
    metrics = of_family({metric for metric, _ in results.measured}, "error")
    names = [metric.name for metric in metrics]
    reasons = Reasons()
    splits = sorted({split for name in names for split in results.splits_of(name)}, key=_split_rank)
    return {
        "rule": {"reach": REACH, "level": LEVEL, "remarks": list(REMARKS.values())},
        "arms": [_arm(arm) | styles[arm] for arm in results.arms],
        "metrics": [{"name": m.name, "label": m.label, "unit": m.unit} for m in metrics],
        "splits": [{"name": s, "label": PANELS.get(s, s)} for s in splits],
        "costs": [
            {"name": key, "title": COST_TITLES.get(key, title), "unit": unit, "scale": scale}
            for key, (title, unit, scale) in COSTS.items()
            if key in results.rows and key != "inference_evaluations"
        ],
        "regimes": [
            _regime(f"regime-{index}", part, names, splits, origin, reasons)
            for index, part in enumerate(results.regimes)
        ],
        "reasons": reasons.payload(),
    }


COST_TITLES = {
    "train_atom_gradients": "training compute",
    "train_wall_s": "training time",
    "train_cpu_s": "CPU time of training",
    "label_cost_cpu_s": "measured label cost",
    "inference_us_per_atom": "prediction time",
}


def _regime(
    name: str,
    part: Part,
    metrics: Sequence[str],
    splits: Sequence[str],
    origin: Origin,
    reasons: Reasons,
) -> dict[str, Any]:
    regime = part.regime
    runs = part.by_run.sort_values(["arm", "n_high", "draw", "seed", "run_key"], kind="stable")
    keys = [str(key) for key in runs["run_key"]]
    grid = Grid(part, _n_low(regime["n_low"], keys, origin))
    series = [(metric, split) for metric in metrics for split in splits if (metric, split) in part.measured]
    return {
        "id": name,
        "regime": {key: regime[key] for key in REGIME},
        "metric": part.metric,
        "split": part.split,
        "sizes": part.sizes,
        "places": part.places,
        "budget": grid.payload(),
        "runs": [
            {"key": str(r["run_key"]), "arm": str(r["arm"]), "n": str(r["n_high"])}
            | {"draw": int(r["draw"]), "seed": int(r["seed"])}
            | ({"failed": True} if r["run_key"] in part.broken else {})
            for r in runs.to_dict("records")
        ],
        "series": {
            f"{metric}|{split}": _series(part, keys, metric, split) | {"budget": grid.series(metric, split, reasons)}
            for metric, split in series
        },
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
        "means": {
            arm: {size: _log_mean(runs, part.of_size(size)) for size, runs in curve.items()}
            for arm, curve in curves.items()
        },
        "laws": {arm: law for arm, curve in curves.items() if (law := _law(curve)) is not None},
        "ratios": _ratios(curves, part, split, metric),
    }


def _log_mean(runs: Runs, part: Part) -> list[float | str | None]:
    """Geometric mean with its interval, numbers of runs and units, and what units are.

    A logarithmic axis shows this mean without bias.
    """
    logs = mean_interval({key: math.log(value) for key, value in runs.items()}, LEVEL)
    return [
        *(finite(_exp(x)) for x in (logs.estimate, logs.low, logs.high)),
        logs.n_runs,
        logs.n_units,
        part.over(logs.over),
    ]


def _law(curve: Mapping[str, Runs]) -> list[float] | None:
    """Amplitude and exponent of the fitted power law; None where no draw has every size."""
    try:
        law = fit_power_law({int(size): runs for size, runs in curve.items() if size != "all"})
    except ValueError:
        return None
    return [law.amplitude.estimate, law.exponent.estimate]


def _ratios(
    curves: Mapping[str, Mapping[str, Runs]], part: Part, split: str, metric: str
) -> dict[str, dict[str, dict[str, list[float | str | None]]]]:
    """By size, reference and arm: ratio of errors, its moderated interval, and p adjusted after Holm over the arms.

    Over draws and groups of test frames, like verdicts; the last number of a line is that of groups, 0 where errors by
    group are not stored or the groups are too few: the interval is then over draws, for these test frames.
    """
    found: dict[str, dict[str, dict[str, list[float | str | None]]]] = {}
    for size in sorted({size for curve in curves.values() for size in curve}, key=size_key):
        runs = {arm: curve[size] for arm, curve in curves.items() if size in curve and not traits(arm).is_ceiling}
        if len(runs) < 2 or not set.intersection(*(set(r) for r in runs.values())):
            continue
        known = part.of_size(size).structures(runs, split, metric)
        enough = known is not None and all(found.n_groups >= FEWEST_GROUPS for found in known.values())
        comparison = compare_arms(runs, known if enough else None)
        n_groups = float(comparison.n_groups) if comparison.by_group is not None else 0.0
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
                    part.of_size(size).over(interval.over),
                    n_groups,
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


def _n_low(n_low: str, keys: Sequence[str], origin: Origin) -> int | None:
    """Return the number of LF labels: what the regime says, or for "all" what the records say."""
    if n_low.isdigit():
        return int(n_low)
    counts = {origin.n_low[key] for key in keys if key in origin.n_low}
    return max(counts) if counts else None


def _arm(arm: str) -> dict[str, Any]:
    known = traits(arm)
    return {"name": arm, "label": known.label, "role": known.role}


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


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf


def _split_rank(split: str) -> tuple[int, str]:
    return (list(PANELS).index(split) if split in PANELS else len(PANELS), split)
