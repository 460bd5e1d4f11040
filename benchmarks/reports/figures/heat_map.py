"""Where which arm is ahead: the ratio of its error to the reference's, over regimes and HF set sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.reports.arms import reference_of, traits
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import PANELS, Style, label_of
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.ranking import best_of
from mfbench.benchmarks.reports.results import Cell, Part
from mfbench.mfcore.metrics.comparison import paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 4.0
"""Ratios beyond this and its inverse get the same colour at most, so that single large ones leave contrast."""


@dataclass(frozen=True)
class Column:
    """Ratios of one regime and HF set size by arm, and the arms that are best or tied."""

    title: str
    n_high: str
    ratios: dict[str, float]
    best: tuple[str, ...]


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw a map for each task: arms down, regimes and HF set sizes across."""
    drawn = False
    for task, part in source.results.tasks.items():
        cells = [cell for cell in source.cells() if cell.regime["task"] == task]
        metric, split = part.metric, part.split
        columns = [column for cell in cells if (column := _column(source, cell, metric, split)).ratios]
        if columns:
            drawn = True
            reference = reference_of(arm for column in columns for arm in column.ratios)
            to = "the best arm" if reference is None else label_of(reference)
            figure = _figure(part, columns, metric, split, to, style)
            yield Drawing(f"heat-map-{task}", figure, part.rows)
    if not drawn:
        raise NothingToDraw("no regime and HF set size has finished runs of two arms over the same draws and seeds.")


def _column(source: Source, cell: Cell, metric: str, split: str) -> Column:
    runs = {arm: cell.positive(arm, split, metric) for arm in cell.arms}
    runs = {arm: values for arm, values in runs.items() if values}
    candidates = {arm: values for arm, values in runs.items() if not traits(arm).is_ceiling}
    if len(candidates) < 2:
        return Column("", cell.n_high, {}, ())
    against = reference_of(runs)
    if against is not None:
        reference = runs[against]
    else:
        means = {arm: float(np.mean(np.log(list(values.values())))) for arm, values in candidates.items()}
        reference = candidates[min(means, key=lambda arm: means[arm])]
    ratios = {
        arm: paired_difference(values, reference).interval.estimate
        for arm, values in runs.items()
        if set(values) & set(reference)
    }
    return Column(source.title(cell.regime), cell.n_high, ratios, best_of(candidates))


def _figure(part: Part, columns: list[Column], metric: str, split: str, to: str, style: Style) -> Figure:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    arms = [arm for arm in part.arms if any(arm in column.ratios for column in columns)]
    table = np.array([[column.ratios.get(arm, math.nan) for column in columns] for arm in arms])
    narrow = len(columns) <= 3
    figure = style.figure("single" if narrow else "double", 22.0 + 6.0 * len(arms))
    axes = figure.subplots()
    largest = float(np.nanmax(np.abs(np.log2(table))))
    reach = min(max(largest, 0.2), math.log2(REACH))
    # Blue and orange at the ends, light between: told apart by the colour-blind, and in grey by the numbers.
    image = axes.imshow(np.log2(table), cmap="PuOr_r", vmin=-reach, vmax=reach, aspect="auto")
    axes.set_facecolor("#dddddd")
    size = (7.0 if len(columns) < 10 else 5.5) * style.scale
    for i, arm in enumerate(arms):
        for j, column in enumerate(columns):
            _write(axes, j, i, table[i, j], arm in column.best, reach, size)
    axes.set_yticks(range(len(arms)), [label_of(arm) for arm in arms])
    axes.set_xticks(range(len(columns)), [column.n_high for column in columns])
    axes.set_xlabel("HF labels $n_\\mathrm{high}$")
    axes.tick_params(length=0)
    _regimes(axes, columns, style)
    bar = figure.colorbar(image, ax=axes, extend="both" if largest > reach else "neither", pad=0.02)
    steps: tuple[float, ...] = (
        (0.25, 0.5, 1.0, 2.0, 4.0) if reach > 1.0 else (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.7, 2.0)
    )
    steps = tuple(step for step in steps if abs(math.log2(step)) <= reach + 1e-9)
    bar.ax.yaxis.set_major_locator(FixedLocator([math.log2(step) for step in steps]))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{2.0**value:.2g}"))
    known = metric_of(metric)
    bar.set_label(f"{known.label if known else metric},\nratio to {to}")
    marked = any(column.best for column in columns)
    note = PANELS.get(split, split) + ("; ∗: best or tied" if marked else "")
    axes.set_title(
        note, fontsize=0.875 * style.font_pt, loc="left", pad=(16.0 if columns[0].title else 5.0) * style.scale
    )
    return figure


def _write(axes: Axes, x: int, y: int, ratio: float, best: bool, reach: float, size: float) -> None:
    if math.isnan(ratio):
        axes.text(x, y, "–", ha="center", va="center", fontsize=size)
        return
    digits = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"
    dark = abs(math.log2(ratio)) > 0.6 * reach
    look: dict[str, Any] = {"color": "white" if dark else "black", "fontweight": "bold" if best else "normal"}
    axes.text(x, y, digits + ("∗" if best else ""), ha="center", va="center", fontsize=size, **look)


def _regimes(axes: Axes, columns: list[Column], style: Style) -> None:
    """Name each regime above its columns, and part them by a line."""
    starts = [j for j, column in enumerate(columns) if j == 0 or column.title != columns[j - 1].title]
    for start, end in zip(starts, [*starts[1:], len(columns)], strict=True):
        middle = (start + end - 1) / 2
        place: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 0.875 * style.font_pt}
        axes.text(middle, -0.6, columns[start].title, **place)
        if start:
            axes.axvline(start - 0.5, color="white", linewidth=style.thin(2.5))
