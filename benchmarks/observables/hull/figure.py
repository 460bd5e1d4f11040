"""Distances to the hull: prediction against reference, and the error along the reference's distance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import Look, Style, handle, label_of, looks, size_of
from mfbench.benchmarks.reports.numbers import with_error
from mfbench.benchmarks.reports.results import Part
from mfbench.mfcore.metrics.intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

MEV = 1000.0
WINDOW_MEV = 40.0
"""Width of the window that the rolling error is over, as on the leaderboard of Matbench Discovery."""

FEWEST = 3
"""Phases in a window whose error is drawn."""

REFERENCE, PREDICTED = "distance_ref_ev_per_atom", "distance_pred_ev_per_atom"


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime and HF set size; phases whose relaxation failed are left out."""
    drawn = False
    for cell in source.cells():
        table = cell.detail("hull")
        table = table[table[PREDICTED].notna()]
        if len(table):
            drawn = True
            part = cell.of_runs(table["run_key"])
            name = source.name("hull", cell.regime, f"n_high_{cell.n_high}")
            yield Drawing(name, _figure(table, part, style), part.rows)
    if not drawn:
        raise NothingToDraw("no run has distances to the hull.")


def rolling_mae(position: NDArray[np.float64], errors: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Mean absolute error in a window about each of 61 places along the positions; NaN where it has few.

    Returns
    -------
    array
        (61, 2): place and error.
    """
    places = np.linspace(position.min(), position.max(), 61)
    found = np.full((len(places), 2), np.nan)
    found[:, 0] = places
    for row, place in enumerate(places):
        inside = np.abs(position - place) <= width / 2
        if inside.sum() >= FEWEST:
            found[row, 1] = float(np.abs(errors[inside]).mean())
    return found


def _figure(table: DataFrame, part: Part, style: Style) -> Figure:
    look_of = looks(in_order(table["arm"]))
    figure = style.figure("double", max(76.0, 18.0 + 8.0 * len(look_of)))
    parity, rolling = figure.subplots(1, 2)
    for arm, look in look_of.items():
        _draw_arm(parity, rolling, table[table["arm"] == arm], look, style)
    limits = [MEV * float(f(table[REFERENCE])) for f in (np.min, np.max)]
    room = 0.05 * max(limits[1] - limits[0], 1.0)
    parity.axline((0.0, 0.0), slope=1.0, color="#808080", linewidth=style.thin(0.7), zorder=1)
    parity.set_xlim(limits[0] - room, limits[1] + room)
    parity.set_xlabel("HF distance to the hull (meV/atom)")
    parity.set_ylabel("predicted (meV/atom)")
    rolling.axline((0.0, 0.0), slope=1.0, color="#808080", linewidth=style.thin(0.7), zorder=1)
    rolling.set_xlim(limits[0] - room, limits[1] + room)
    rolling.set_ylim(bottom=0.0)
    rolling.set_xlabel("HF distance to the hull (meV/atom)")
    rolling.set_ylabel(f"MAE within {WINDOW_MEV / 2:g} meV/atom")
    for axes in (parity, rolling):
        axes.grid(True)
    handles = [handle(look) for look in look_of.values()]
    labels = [_words(arm, part) for arm in look_of]
    figure.legend(handles, labels, title="F1; MAE (meV/atom)", loc="outside right center", labelspacing=0.4)
    return figure


def _draw_arm(parity: Axes, rolling: Axes, table: DataFrame, look: Look, style: Style) -> None:
    """Each phase, its prediction the mean over runs; and the error of all runs in windows."""
    means = MEV * table.groupby("structure_id")[[REFERENCE, PREDICTED]].mean()
    marks: dict[str, Any] = {"markersize": size_of(look.marker, 2.8 * style.scale), "color": look.colour}
    parity.plot(
        means[REFERENCE], means[PREDICTED], look.marker, linestyle="none", markeredgewidth=0.0, alpha=0.8, **marks
    )
    reference = MEV * table[REFERENCE].to_numpy(dtype=np.float64)
    errors = MEV * table[PREDICTED].to_numpy(dtype=np.float64) - reference
    line = rolling_mae(reference, errors, WINDOW_MEV)
    rolling.plot(line[:, 0], line[:, 1], color=look.colour, linestyle=look.line, linewidth=style.thin(0.9))


def _words(arm: str, part: Part) -> str:
    """Arm with its F1 and MAE, as in the tables."""
    scores, errors = part.runs(arm, "hull", "hull_f1"), part.runs(arm, "hull", "hull_mae_mev_per_atom")
    words = [f"{mean_interval(scores).estimate:.2f}"] if scores else []
    if errors:
        error = mean_interval(errors)
        words.append(with_error(error.estimate, error.half_width))
    return "\n".join([label_of(arm), *(["; ".join(words)] if words else [])])
