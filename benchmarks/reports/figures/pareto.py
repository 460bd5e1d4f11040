"""Error against what it costs, with the Pareto front and how sure each place on it is, over draws and test groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.points import log_interval
from mfbench.benchmarks.reports.figures.style import Look, Style, handle, label_of, log_axis, looks, show_means, size_of
from mfbench.benchmarks.reports.front import on_front, probability_on_front
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.results import Part
from mfbench.benchmarks.reports.rows import size_key
from mfbench.mfcore.metrics.crossed import lacking
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.structures import StructureErrors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = {
    "label_cost_cpu_s": "labels (CPU-s)",
    "train_cpu_s": "training (CPU-s)",
    "inference_us_per_atom": "inference (µs/atom)",
}
"""Costs that may be an axis."""

Point = tuple[str, str]
"""Arm and HF set size."""


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw, for each regime, the error on the hardest test split against each cost that is known."""
    drawn = False
    for part in source.regimes():
        metric, split = part.metric, part.split
        points = _points(part, metric, split)
        structures = _structures(part, points, metric, split)
        costs = {column: known for column in COSTS if len(known := _costs(part, points, column)) > 1}
        if costs:
            drawn = True
            figure = _figure(points, structures, costs, metric, split, style)
            yield Drawing(source.name("pareto", part.regime), figure, part.without_ceilings)
    if not drawn:
        raise NothingToDraw("no regime has two arms or HF set sizes with an error and a known cost.")


def _points(part: Part, metric: str, split: str) -> dict[Point, Runs]:
    return {
        (arm, n): runs
        for arm in part.candidates
        for n in part.places
        if (runs := part.of_size(n).positive(arm, split, metric))
    }


def _structures(part: Part, points: dict[Point, Runs], metric: str, split: str) -> dict[Point, StructureErrors] | None:
    """Errors by group of test structures, if there can be probabilities over draws and groups."""
    found: dict[Point, StructureErrors] = {}
    for n in part.places:
        own = part.of_size(n)
        errors = {arm: runs for (arm, size), runs in points.items() if size == n}
        for arm, known in ((own.structures(errors, split, metric) or {}) if errors else {}).items():
            found[arm, n] = known
    draws = set.intersection(*({draw for draw, _ in runs} for runs in points.values())) if points else set()
    groups = {known.n_groups for known in found.values()}
    whole = set(found) == set(points) and len(groups) == 1
    return None if lacking(len(draws), groups.pop() if whole else 0, same_frames=bool(part.same_frames)) else found


def _costs(part: Part, points: dict[Point, Runs], column: str) -> dict[Point, float]:
    """Mean cost of the points of which it is known and can stand on a logarithmic axis."""
    means = {}
    for arm, n in points:
        values = list(part.of_size(n).costs(arm, column).values())
        if values and float(np.mean(values)) > 0.0:
            means[arm, n] = float(np.mean(values))
    return means


def _figure(
    points: dict[Point, Runs],
    structures: dict[Point, StructureErrors] | None,
    costs: dict[str, dict[Point, float]],
    metric: str,
    split: str,
    style: Style,
) -> Figure:
    from matplotlib.lines import Line2D

    sizes = list(dict.fromkeys(sorted((n for _, n in points), key=size_key)))
    look_of = looks(dict.fromkeys(arm for arm, _ in points))
    figure = style.figure("double", 82.0)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    sure = False
    for axes, (column, known) in zip(panels, costs.items(), strict=True):
        shown = {point: points[point] for point in known}
        chances = {} if structures is None else probability_on_front(shown, known, structures)
        sure |= any(math.isfinite(chance) for chance in chances.values())
        _panel(axes, shown, chances, known, look_of, sizes, style)
        low, high = axes.get_xlim()
        log_axis(axes.xaxis, low, high, most=12 // len(costs))
        axes.set_xlabel(COSTS[column])
    estimates = [log_interval(runs).estimate for runs in points.values()]
    show_means(panels, estimates)
    metric_known = metric_of(metric)
    panels[0].set_ylabel(metric_known.axis if metric_known else metric)
    handles: list[Any] = [handle(look, line=False) for look in look_of.values()]
    labels = [label_of(arm) for arm in look_of]
    for n in sizes:
        size = _marker_size(n, sizes, style)
        handles.append(Line2D([], [], color="#606060", marker="o", linestyle="none", markersize=size))
        labels.append(f"$n_\\mathrm{{high}}$ = {n}")
    front = Line2D([], [], color="#606060", linestyle="-", linewidth=style.thin(), drawstyle="steps-post")
    handles.append(front)
    labels.append("Pareto front of the means")
    for probability in (0.0, 0.5, 1.0) if sure else ():
        colour = _blend("#606060", probability)
        marker: dict[str, Any] = {
            "marker": "s",
            "markerfacecolor": colour,
            "markeredgecolor": "#606060",
            "linestyle": "none",
        }
        handles.append(Line2D([], [], **marker))
        labels.append(f"on the front: P = {probability:g}")
    figure.legend(handles, labels, loc="outside right center", labelspacing=0.35)
    return figure


def _panel(
    axes: Axes,
    points: dict[Point, Runs],
    chances: dict[Point, float],
    costs: dict[Point, float],
    look_of: dict[str, Look],
    sizes: list[str],
    style: Style,
) -> None:
    """Draw the error against one cost, lighter what is less surely on the front."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.set_xscale("log")
    axes.set_yscale("log")
    means = {point: log_interval(runs) for point, runs in points.items()}
    arms = list(dict.fromkeys(arm for arm, _ in points))
    equal = len({f"{cost:.6g}" for cost in costs.values()}) < len(costs)
    for (arm, n), interval in means.items():
        look = look_of[arm]
        # Arms that use the same labels cost the same: there each gets a small shift on the page.
        points_aside = (arms.index(arm) - (len(arms) - 1) / 2) * 1.3 * style.scale if equal else 0.0
        place = axes.transData + ScaledTranslation(points_aside / 72.0, 0.0, figure.dpi_scale_trans)
        cost, chance = costs[arm, n], chances.get((arm, n), math.nan)
        if math.isfinite(interval.low):
            bar = [interval.low, interval.high]
            thin: dict[str, Any] = {"linewidth": style.thin(0.5), "alpha": 0.6, "zorder": 2}
            axes.plot([cost] * 2, bar, color=look.colour, transform=place, **thin)
        face = _blend(look.colour, chance if math.isfinite(chance) else 1.0)
        marks: dict[str, Any] = {
            "markerfacecolor": face,
            "markeredgecolor": look.colour,
            "markeredgewidth": style.thin(0.7),
        }
        size = size_of(look.marker, _marker_size(n, sizes, style))
        axes.plot([cost], [interval.estimate], look.marker, markersize=size, transform=place, zorder=3, **marks)
    keys = sorted(means, key=lambda point: costs[point])
    x, y = np.array([costs[key] for key in keys]), np.array([means[key].estimate for key in keys])
    front = on_front(x, y)
    axes.set_xlim(x.min() / 1.3, x.max() * 1.3)
    steps_x, steps_y = np.append(x[front], axes.get_xlim()[1]), np.append(y[front], y[front][-1])
    axes.plot(steps_x, steps_y, drawstyle="steps-post", color="#606060", linewidth=style.thin(), zorder=1)
    axes.grid(True)


def _marker_size(n: str, sizes: list[str], style: Style) -> float:
    """Larger for more HF labels."""
    rank = sizes.index(n) / max(len(sizes) - 1, 1)
    return (3.0 + 3.5 * rank) * style.scale


def _blend(colour: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with white."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1.0 - share * (1.0 - part) for part in to_rgb(colour))
    return red, green, blue
