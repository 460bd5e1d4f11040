"""Learning curves: error against the number of HF labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.arms import ceilings
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.points import draw_means, log_interval
from mfbench.benchmarks.reports.figures.style import PANELS, PAPER, Style, handle, label_of, looks, show_means, size_of
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.results import Part
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.learning_curve import fit_power_law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORT = {
    "energy_mae_mev_per_atom": "energy",
    "energy_detrended_mae_mev_per_atom": "energy_detrended",
    "force_mae_mev_per_A": "force",
}
"""Metrics that have curves, and their part in the names of files."""


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw the curves of each regime and metric, a panel for each test split.

    Markers are means over runs, bars their 95 % intervals over draws (on the logarithmic scale), small dots the
    single draws, and lines the power laws fitted to the sizes that are numbers.
    """
    drawable = [part for part in source.regimes() if len(part.places) > 1]
    if not drawable:
        raise NothingToDraw(
            "no regime in these runs has two sizes of the HF set; `mfbench run standard` makes such runs."
        )
    for part in drawable:
        for metric, short in SHORT.items():
            if len(part.of_metric(metric, positive=True).places) > 1:
                figure = learning_curve_figure(part, metric, style)
                yield Drawing(source.name("learning-curve", part.regime, short), figure, part.rows)


def learning_curve_figure(part: Part, metric: str, style: Style = PAPER) -> Figure:
    """Draw the learning curves of one regime and metric.

    Parameters
    ----------
    part
        Runs of one regime, of all its HF set sizes.
    metric
        Name of the metric in the rows.
    style
        Sizes; the settings `style.rc()` must hold while it is called and while the figure is saved.
    """
    scored, splits = part.of_metric(metric), part.splits_of(metric)
    figure = style.figure("double", 74.0)
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    handles: dict[str, Any] = {}
    estimates: list[float] = []
    for axes, split in zip(panels, splits, strict=True):
        drawn, means = _panel(axes, scored, split, metric, style)
        handles |= drawn
        estimates += means
        axes.set_title(PANELS.get(split, split))
        axes.set_xlabel("HF labels $n_\\mathrm{high}$")
    known = metric_of(metric)
    panels[0].set_ylabel(known.axis if known else metric)
    show_means(panels, estimates)
    figure.legend(list(handles.values()), list(handles), loc="outside right center")
    return figure


def _panel(axes: Axes, part: Part, split: str, metric: str, style: Style) -> tuple[dict[str, Any], list[float]]:
    """Draw a split; returns the legend's handles by arm, and the means that must be in view."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    places, sizes = part.places, [str(n) for n in part.sizes]
    curved, look_of = part.candidates, looks(part.arms)
    handles: dict[str, Any] = {}
    estimates: list[float] = []
    # Arms stand side by side, so that bars can be told from one another, over a third of the way between sizes.
    gap = 0.35 * math.log(min(b / a for a, b in pairwise(places.values()))) / max(len(curved), 1)
    for index, arm in enumerate(curved):
        colour, marker, line = look_of[arm]
        curve = {n: runs for n in places if (runs := part.of_size(n).positive(arm, split, metric))}
        if not curve:
            continue
        shift = math.exp(gap * (index - (len(curved) - 1) / 2))
        means = {n: log_interval(runs) for n, runs in curve.items()}
        estimates += [interval.estimate for interval in means.values()]
        x = [places[n] * shift for n in means]
        y = [interval.estimate for interval in means.values()]
        marks: dict[str, Any] = {"markersize": size_of(marker, 4.5 * style.scale), "markeredgewidth": style.thin(0.8)}
        axes.plot(x, y, marker, color=colour, zorder=3, **marks)
        handles[label_of(arm)] = handle(look_of[arm])
        for n, interval in means.items():
            if math.isfinite(interval.low):
                bar = [interval.low, interval.high]
                axes.plot([places[n] * shift] * 2, bar, color=colour, linewidth=style.thin(), zorder=2)
                single = draw_means(curve[n])
                dots: dict[str, Any] = {"color": colour, "markersize": 1.8 * style.scale, "alpha": 0.6, "zorder": 2}
                axes.plot([places[n] * shift] * len(single), single, ".", **dots)
        fitted = {int(n): curve[n] for n in sizes if n in curve}
        law = _law(fitted) if len(fitted) > 1 else None
        if law is not None:
            ends = [min(fitted), max(fitted)]
            look: dict[str, Any] = {"linestyle": line, "color": colour, "linewidth": style.thin(0.9), "alpha": 0.8}
            axes.plot([n * shift for n in ends], [law(n) for n in ends], zorder=1, **look)
    for arm in ceilings(look_of):
        ceiling = part.positive(arm, split, metric)
        if not ceiling:
            continue
        colour, _, line = look_of[arm]
        level = log_interval(ceiling).estimate
        estimates.append(level)
        drawn = axes.axhline(level, color=colour, linestyle=line, linewidth=style.thin(0.9))
        handles[f"{label_of(arm)}\n(every HF label)"] = drawn
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(places.values())))
    axes.xaxis.set_major_formatter(FixedFormatter(list(places)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.grid(True)
    return handles, estimates


def _law(curve: dict[int, Runs]) -> Any:
    """Fitted error as a function of n; None where no draw has every size."""
    try:
        law = fit_power_law(curve)
    except ValueError:
        return None
    return lambda n: law.error(n).estimate
