"""Mean-squared displacement against the lag, of each species at each temperature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.points import by_run, levels, log_interval
from mfbench.benchmarks.reports.figures.style import Look, Style, handle, label_of, log_axis, looks, size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from pandas import DataFrame

MOST_TEMPERATURES = 4
GUIDE = "slope 1"


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime and HF set size: a row of panels for each species, a column for each temperature."""
    drawn = False
    for cell in source.cells():
        table = cell.detail("msd")
        table = table[table["msd_a2"] > 0.0]
        if len(table):
            drawn = True
            name = source.name("msd", cell.regime, f"n_high_{cell.n_high}")
            rows = cell.of_runs(table["run_key"]).rows
            yield Drawing(name, _figure(table, style), rows)
    if not drawn:
        raise NothingToDraw("no run has mean-squared displacements from replicas that survived.")


def _figure(table: DataFrame, style: Style) -> Figure:
    temperatures = _some(sorted({float(kelvin) for kelvin in table["temperature_k"]}))
    species = _by_mobility(table)
    look_of = looks(in_order(table["arm"]))
    figure = style.figure("double", 22.0 + 32.0 * len(species))
    panels = figure.subplots(len(species), len(temperatures), sharex=True, sharey=True, squeeze=False)
    low, high = float(table["msd_a2"].min()) / 1.5, float(table["msd_a2"].max()) * 1.5
    first, last = float(table["lag_ps"].min()), float(table["lag_ps"].max())
    for line, symbol in zip(panels, species, strict=True):
        for axes, kelvin in zip(line, temperatures, strict=True):
            axes.set_xscale("log")
            axes.set_yscale("log")
            chosen = table[(table["species"] == symbol) & (table["temperature_k"] == kelvin)]
            for arm, look in look_of.items():
                of_arm = chosen[chosen["arm"] == arm]
                if len(of_arm):
                    _curve(axes, of_arm, look, style)
            _guide(axes, (first, last), (low, high), style)
            axes.grid(True)
        line[0].set_ylabel(f"MSD({symbol}) (Å²)")
    for axes, kelvin in zip(panels[0], temperatures, strict=True):
        axes.set_title(f"{kelvin:g} K")
    for axes in panels[-1]:
        axes.set_xlabel("lag (ps)")
    panels[0][0].set_xlim(first / 1.2, last * 1.2)
    panels[0][0].set_ylim(low, high)
    log_axis(panels[0][0].xaxis, first / 1.2, last * 1.2, 12 // len(temperatures))
    log_axis(panels[0][0].yaxis, low, high, 5)
    handles = [*(handle(look) for look in look_of.values()), _guide_handle(style)]
    figure.legend(handles, [*map(label_of, look_of), GUIDE], loc="outside right center")
    return figure


def _some(temperatures: list[float]) -> list[float]:
    """Spread a few evenly over those that there are, both ends among them."""
    if len(temperatures) <= MOST_TEMPERATURES:
        return temperatures
    places = np.linspace(0, len(temperatures) - 1, MOST_TEMPERATURES).round().astype(int)
    return [temperatures[place] for place in places]


def _by_mobility(table: DataFrame) -> list[str]:
    """Species by how far they move, farthest first: what conducts stands at the top."""
    farthest = table.groupby("species")["msd_a2"].max()
    return [str(symbol) for symbol in farthest.sort_values(ascending=False, kind="stable").index]


def _curve(axes: Axes, table: DataFrame, look: Look, style: Style) -> None:
    """Geometric mean over runs, with its interval as a band."""
    found = [(lag, log_interval(by_run(part, "msd_a2"))) for lag, part in levels(table, "lag_ps")]
    x = np.array([lag for lag, _ in found])
    y, low, high = np.array([(i.estimate, i.low, i.high) for _, i in found]).T
    size = size_of(look.marker, 2.8 * style.scale)
    marks: dict[str, Any] = {"marker": look.marker, "markersize": size, "markevery": max(len(x) // 5, 1)}
    axes.plot(x, y, color=look.colour, linestyle=look.line, linewidth=style.thin(0.9), zorder=3, **marks)
    if np.isfinite(low).all() and np.isfinite(high).all():
        axes.fill_between(x, low, high, color=look.colour, alpha=0.08, linewidth=0.0, zorder=1)


def _guide(axes: Axes, lags: tuple[float, float], bounds: tuple[float, float], style: Style) -> None:
    """Draw a line of slope 1 through the middle of a panel: so grows what diffuses."""
    middle = (bounds[0] * bounds[1] / (lags[0] * lags[1])) ** 0.5
    x = np.array([lags[0] / 1.2, lags[1] * 1.2])
    axes.plot(x, middle * x, color="#b8b8b8", linewidth=style.thin(1.2), zorder=0)


def _guide_handle(style: Style) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], color="#b8b8b8", linewidth=style.thin(1.2))
