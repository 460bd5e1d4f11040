"""Survival in molecular dynamics: Kaplan-Meier curves, a panel for each temperature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.observables.stability.report import survival_of
from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import Look, Style, handle, label_of, looks, size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw the curves of each regime and HF set size; engine errors and timeouts are no failures and left out."""
    drawn = False
    for cell in source.cells():
        table = cell.detail("survival")
        if set(table["status"]) & {"failure", "survived"}:
            drawn = True
            rows = cell.of_runs(table["run_key"]).rows
            yield Drawing(source.name("survival", cell.regime, f"n_high_{cell.n_high}"), _figure(table, style), rows)
    if not drawn:
        raise NothingToDraw("no run has survival times of molecular dynamics.")


def _figure(table: DataFrame, style: Style) -> Figure:
    from matplotlib.ticker import MaxNLocator

    temperatures = sorted(set(table["temperature_k"]))
    look_of = looks(in_order(table["arm"]))
    figure = style.figure("double" if len(temperatures) > 1 else "single", 70.0)
    panels = figure.subplots(1, len(temperatures), sharey=True, squeeze=False)[0]
    for axes, kelvin in zip(panels, temperatures, strict=True):
        at = table[table["temperature_k"] == kelvin]
        for arm, look in look_of.items():
            runs = at[(at["arm"] == arm) & (at["status"] != "error")]
            if len(runs):
                _curve(axes, runs, look, style)
        axes.set_xlim(0.0, float(at["limit_ps"].max()))
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.set_title(f"{kelvin:g} K")
        axes.set_xlabel("time (ps)")
        axes.grid(True)
    panels[0].set_ylim(-0.02, 1.04)
    panels[0].set_ylabel("fraction that survives")
    errors = table[table["status"] == "error"].groupby("arm").size()
    labels = []
    for arm in look_of:
        n = int(errors.get(arm, 0))
        labels.append(label_of(arm) + (f"\n({n} error{'s' * (n > 1)} left out)" if n else ""))
    wide = len(temperatures) > 1
    place: dict[str, Any] = {"loc": "outside right center"} if wide else {"loc": "outside lower center", "ncols": 2}
    figure.legend([handle(look) for look in look_of.values()], labels, **place)
    return figure


def _curve(axes: Axes, runs: DataFrame, look: Look, style: Style) -> None:
    curve = survival_of(runs, n_resamples=2)  # the curve only; its mean is in the tables
    if curve is None:
        return
    x, y = curve.time_ps, curve.survival
    low, high = (np.where(np.isfinite(bound), bound, y) for bound in (curve.low, curve.high))
    axes.fill_between(x, low, high, step="post", color=look.colour, alpha=0.08, linewidth=0.0, zorder=1)
    # A marker at every few steps: the second channel beside colour and line.
    marks: dict[str, Any] = {
        "marker": look.marker,
        "markersize": size_of(look.marker, 3.2 * style.scale),
        "markevery": (0 if len(x) < 3 else 1, max(len(x) // 5, 1)),
    }
    axes.plot(x, y, drawstyle="steps-post", color=look.colour, linestyle=look.line, zorder=2, **marks)
