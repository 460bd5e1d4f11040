"""Verdict against training compute: the error of each arm at each budget, and the arm that is named there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from mfbench.benchmarks.reports.arms import ceilings
from mfbench.benchmarks.reports.budgets import series
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.learning_curves import SHORT
from mfbench.benchmarks.reports.figures.points import log_interval
from mfbench.benchmarks.reports.figures.style import PANELS, Style, handle, label_of, looks, show_means, size_of
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.results import Cell
from mfbench.benchmarks.reports.rows import REGIME, budget_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw each regime of several budgets, a panel for each HF set size.

    Markers are geometric means over runs, bars their 95 % intervals, on the test split that verdicts are by. Above each
    budget stands the arm that is named there, or "none named".
    """
    found: dict[tuple[str, ...], list[list[Cell]]] = defaultdict(list)
    for group in series(source.cells()):
        found[tuple(group[0].regime[name] for name in REGIME if name != "budget")].append(group)
    if not found:
        raise NothingToDraw("no regime in these runs has two budgets; a preset with `budgets: [...]` makes such runs.")
    for groups in found.values():
        first = groups[0][0]
        figure = training_compute_figure(groups, style)
        if figure is not None:
            rows = pd.concat([cell.rows for group in groups for cell in group]).drop_duplicates()
            name = source.name(
                "training-compute", first.regime, SHORT.get(first.metric, first.metric), without="budget"
            )
            yield Drawing(name, figure, rows)


def training_compute_figure(groups: Sequence[Sequence[Cell]], style: Style) -> Figure | None:
    """Draw the tables of one regime; None where no run has an error that a logarithmic axis can show.

    Parameters
    ----------
    groups
        For each HF set size, its tables by budget.
    """
    figure = style.figure("double", 74.0)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    handles: dict[str, Any] = {}
    estimates: list[float] = []
    for axes, group in zip(panels, groups, strict=True):
        drawn, means = _panel(axes, group, style)
        handles |= drawn
        estimates += means
        axes.set_xlabel("training compute (atom gradients)")
        axes.set_title(
            f"$n_\\mathrm{{high}}$ = {group[0].n_high}, {PANELS.get(group[0].split, group[0].split)}", pad=16
        )
    if not estimates:
        return None
    known = metric_of(groups[0][0].metric)
    panels[0].set_ylabel(known.axis if known else groups[0][0].metric)
    show_means(panels, estimates, room=1.4)
    figure.legend(list(handles.values()), list(handles), loc="outside right center")
    return figure


def _panel(axes: Axes, group: Sequence[Cell], style: Style) -> tuple[dict[str, Any], list[float]]:
    """Draw one HF set size; returns the legend's handles by arm, and the means that must be in view."""
    budgets = [budget_key(cell.regime["budget"]) for cell in group]
    arms = list(dict.fromkeys(arm for cell in group for arm in cell.arms))
    look_of, top = looks(arms), set(ceilings(arms))
    gap = 0.3 * math.log(min(b / a for a, b in pairwise(budgets))) / max(len(arms), 1)
    handles: dict[str, Any] = {}
    estimates: list[float] = []
    for index, arm in enumerate(arms):
        colour, marker, line = look_of[arm]
        shift = math.exp(gap * (index - (len(arms) - 1) / 2))
        means = {
            budget * shift: log_interval(runs)
            for budget, cell in zip(budgets, group, strict=True)
            if (runs := cell.positive(arm, cell.split, cell.metric))
        }
        if not means:
            continue
        estimates += [mean.estimate for mean in means.values()]
        size = size_of(marker, 4.5 * style.scale)
        look: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": style.thin(0.9), "markersize": size}
        axes.plot(list(means), [mean.estimate for mean in means.values()], marker=marker, **look)
        for x, mean in means.items():
            if math.isfinite(mean.low):
                axes.plot([x, x], [mean.low, mean.high], color=colour, linewidth=style.thin(), zorder=2)
        handles[label_of(arm) + ("\n(every HF label)" if arm in top else "")] = handle(look_of[arm])
    axes.set_xscale("log")
    axes.set_yscale("log")
    for budget, cell in zip(budgets, group, strict=True):
        named = cell.recommendation().arm
        text = label_of(named) if named else "none named"
        place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(budget, 1.01, text, fontsize="small", **place)
    axes.grid(True)
    return handles, estimates
