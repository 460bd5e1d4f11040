"""Mixing energy against composition: the reference's and each arm's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from benchmarks.reports.figures.points import by_run, levels
from benchmarks.reports.figures.style import Look, Style, handle, looks, size_of
from benchmarks.reports.rows import CEILING, arms_of, size_key
from mfcore.metrics.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

MOST_PANELS = 3
REFERENCE = "HF reference"


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime, a panel for each HF set size: the mean over orderings and runs at each composition."""
    drawn = False
    for regime, part in source.regimes():
        table = source.details.table("mixing", part)
        if len(table):
            drawn = True
            rows = part[part["run_key"].isin(set(table["run_key"]))]
            yield Drawing(source.name("mixing", regime), _figure(table, style), rows)
    if not drawn:
        raise NothingToDraw("no run has mixing energies.")


def _figure(table: DataFrame, style: Style) -> Figure:
    ceiling = table["arm"] == CEILING
    sizes = sorted({str(n) for n in table.loc[~ceiling, "n_high"]} or {"all"}, key=size_key)
    if len(sizes) > MOST_PANELS:
        sizes = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
    look_of = looks(arms_of(table))
    figure = style.figure("double", 76.0)
    panels = figure.subplots(1, len(sizes), sharex=True, sharey=True, squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        shown = table[ceiling | (table["n_high"].astype(str) == size)]
        for index, (arm, look) in enumerate(look_of.items()):
            runs = shown[shown["arm"] == arm]
            if len(runs):
                _arm(axes, runs, look, 0.003 * (index - (len(look_of) - 1) / 2), style)
        _reference(axes, shown, style)
        axes.set_title(f"$n_\\mathrm{{high}}$ = {size}")
        axes.set_xlabel("$x$")
        axes.set_xlim(-0.04, 1.04)
        axes.grid(True)
    panels[0].set_ylabel("mixing energy (meV/atom)")
    handles = [_reference_handle(style), *(handle(look) for look in look_of.values())]
    figure.legend(handles, [REFERENCE, *look_of], loc="outside right center")
    return figure


def _reference(axes: Axes, table: DataFrame, style: Style) -> None:
    """Each ordering as a ring, their mean as a line."""
    each = table.drop_duplicates("structure_id")
    means = [(x, float(part["energy_ref_mev_per_atom"].mean())) for x, part in levels(each, "x")]
    axes.plot(*zip(*means, strict=True), color="black", linewidth=style.thin(1.4), zorder=4)
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": style.thin(0.7)}
    axes.plot(each["x"], each["energy_ref_mev_per_atom"], "o", markersize=3.6 * style.scale, zorder=5, **ring)


def _reference_handle(style: Style) -> Any:
    from matplotlib.lines import Line2D

    ring: dict[str, Any] = {
        "markerfacecolor": "none",
        "markeredgewidth": style.thin(0.7),
        "markersize": 3.6 * style.scale,
    }
    return Line2D([], [], color="black", marker="o", linewidth=style.thin(1.4), **ring)


def _arm(axes: Axes, table: DataFrame, look: Look, aside: float, style: Style) -> None:
    """Mean over orderings, with the interval over runs of that mean."""
    x, y = [], []
    for fraction, part in levels(table, "x"):
        interval = mean_interval(by_run(part, "energy_pred_mev_per_atom"))
        x.append(fraction + aside)
        y.append(interval.estimate)
        if math.isfinite(interval.low):
            bar = [interval.low, interval.high]
            axes.plot([x[-1]] * 2, bar, color=look.colour, linewidth=style.thin(0.6), alpha=0.7, zorder=2)
    size = size_of(look.marker, 3.2 * style.scale)
    line: dict[str, Any] = {"linestyle": look.line, "linewidth": style.thin(0.8), "zorder": 3}
    axes.plot(x, y, marker=look.marker, markersize=size, color=look.colour, **line)
