"""Mixing energies of an alloy: against composition, and each ordering's prediction against the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.points import by_run, levels
from mfbench.benchmarks.reports.figures.style import Look, Style, handle, label_of, looks, size_of
from mfbench.benchmarks.reports.numbers import with_error
from mfbench.benchmarks.reports.results import Part
from mfbench.benchmarks.reports.summary import HF_REFERENCE
from mfbench.mfcore.metrics.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

MOST_SPANS = 1.0
SCORES = "MAE (meV/atom); $R^2$"
REFERENCE, PREDICTED = "energy_ref_mev_per_atom", "energy_pred_mev_per_atom"


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime and HF set size; orderings whose relaxation failed are left out, and their number is said."""
    drawn = False
    for cell in source.cells():
        table = cell.detail("mixing")
        if table[PREDICTED].notna().any():
            drawn = True
            part = cell.of_runs(table["run_key"])
            name = source.name("mixing", cell.regime, f"n_high_{cell.n_high}")
            yield Drawing(name, _figure(table, part, style), part.rows)
    if not drawn:
        raise NothingToDraw("no run has mixing energies.")


def _figure(table: DataFrame, part: Part, style: Style) -> Figure:
    look_of = looks(in_order(table["arm"]))
    known = table[table[PREDICTED].notna()]
    figure = style.figure("double", max(76.0, 18.0 + 8.0 * len(look_of)))
    curves, parity = figure.subplots(1, 2)
    labels = []
    for index, (arm, look) in enumerate(look_of.items()):
        of_arm = known[known["arm"] == arm]
        if len(of_arm):
            _curve(curves, of_arm, look, 0.003 * (index - (len(look_of) - 1) / 2), style)
            _points(parity, of_arm, look, style)
        n = int((table["arm"] == arm).sum())
        labels.append(_words(arm, part, f" ({n - len(of_arm)} of {n} lost)" if len(of_arm) < n else ""))
    _reference(curves, table, style)
    curves.set_xlabel("$x$")
    curves.set_ylabel("mixing energy (meV/atom)")
    curves.set_xlim(-0.04, 1.04)
    view = _view(known)
    curves.set_ylim(view)
    _frame(parity, known, view, style)
    for axes in (curves, parity):
        axes.grid(True)
    handles = [_reference_handle(style), *(handle(look) for look in look_of.values())]
    figure.legend(handles, [HF_REFERENCE, *labels], title=SCORES, loc="outside right center", labelspacing=0.4)
    return figure


def _words(arm: str, part: Part, lost: str) -> str:
    """Arm with its MAE and R² over the orderings between the end members, as in the tables."""
    errors = part.runs(arm, "mixing", "mixing_energy_mae_mev_per_atom")
    shares = part.runs(arm, "mixing", "mixing_energy_r2")
    if not errors:
        return f"{label_of(arm)}{lost}"
    error = mean_interval(errors)
    words = with_error(error.estimate, error.half_width)
    return f"{label_of(arm)}{lost}\n{words}" + (f"; {mean_interval(shares).estimate:.3g}" if shares else "")


def _reference(axes: Axes, table: DataFrame, style: Style) -> None:
    """Each ordering as a ring, their mean as a line."""
    each = table.drop_duplicates("structure_id")
    means = [(x, float(part[REFERENCE].mean())) for x, part in levels(each, "x")]
    axes.plot(*zip(*means, strict=True), color="black", linewidth=style.thin(1.4), zorder=4)
    axes.plot(each["x"], each[REFERENCE], "o", markersize=3.6 * style.scale, zorder=5, **_ring(style))


def _ring(style: Style) -> dict[str, Any]:
    return {"markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": style.thin(0.7)}


def _reference_handle(style: Style) -> Any:
    from matplotlib.lines import Line2D

    size = 3.6 * style.scale
    return Line2D([], [], color="black", marker="o", markersize=size, linewidth=style.thin(1.4), **_ring(style))


def _curve(axes: Axes, table: DataFrame, look: Look, aside: float, style: Style) -> None:
    """Mean over orderings, with the interval over runs of that mean."""
    x, y = [], []
    for fraction, part in levels(table, "x"):
        interval = mean_interval(by_run(part, PREDICTED))
        x.append(fraction + aside)
        y.append(interval.estimate)
        if math.isfinite(interval.low):
            bar = [interval.low, interval.high]
            axes.plot([x[-1]] * 2, bar, color=look.colour, linewidth=style.thin(0.6), alpha=0.7, zorder=2)
    size = size_of(look.marker, 3.2 * style.scale)
    line: dict[str, Any] = {"linestyle": look.line, "linewidth": style.thin(0.8), "zorder": 3}
    axes.plot(x, y, marker=look.marker, markersize=size, color=look.colour, **line)


def _points(axes: Axes, table: DataFrame, look: Look, style: Style) -> None:
    """Each ordering between the end members, its prediction the mean over runs."""
    inner = table[(table["x"] > 0.0) & (table["x"] < 1.0)]
    means = inner.groupby("structure_id")[[REFERENCE, PREDICTED]].mean()
    size = size_of(look.marker, 2.8 * style.scale)
    marks: dict[str, Any] = {"markersize": size, "color": look.colour, "markeredgewidth": 0.0, "alpha": 0.8}
    axes.plot(means[REFERENCE], means[PREDICTED], look.marker, linestyle="none", zorder=3, **marks)


def _frame(axes: Axes, table: DataFrame, view: tuple[float, float], style: Style) -> None:
    """Draw the diagonal, and say how many points lie beyond the frame."""
    inner = table[(table["x"] > 0.0) & (table["x"] < 1.0)]
    means = inner.groupby(["arm", "structure_id"])[PREDICTED].mean()
    axes.axline((0.0, 0.0), slope=1.0, color="#808080", linewidth=style.thin(0.7), zorder=1)
    axes.set_xlim(view)
    axes.set_ylim(view)
    if beyond := int(((means < view[0]) | (means > view[1])).sum()):
        axes.text(0.03, 0.97, f"{beyond} of {len(means)} beyond the frame", transform=axes.transAxes, va="top")
    axes.set_aspect("equal")
    axes.set_xlabel("HF reference (meV/atom)")
    axes.set_ylabel("predicted (meV/atom)")


def _view(table: DataFrame) -> tuple[float, float]:
    """Energies that are shown: all means, but at most `MOST_SPANS` times the reference's range beyond its ends.

    Else one arm far off would leave the others in a line.
    """
    low, high = float(table[REFERENCE].min()), float(table[REFERENCE].max())
    span = max(high - low, 1.0)
    means = table.groupby(["arm", "structure_id"])[PREDICTED].mean()
    low = max(min(low, float(means.min())), low - MOST_SPANS * span)
    high = min(max(high, float(means.max())), high + MOST_SPANS * span)
    room = 0.05 * (high - low)
    return low - room, high + room
