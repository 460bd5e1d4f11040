"""Paired ratios: each arm's error over a reference arm's, with intervals and what is significant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.arms import reference_of
from mfbench.benchmarks.reports.blocks import LEVEL, Blocks
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import PANELS, Style, label_of, log_axis, looks, size_of
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.results import Part
from mfbench.mfcore.metrics.comparison import compare_arms
from mfbench.mfcore.metrics.intervals import Interval, Runs
from mfbench.mfcore.metrics.significance import holm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST = 30.0
"""Ratios beyond this times the largest estimate are cut off, with an arrow."""


@dataclass(frozen=True)
class Ratio:
    """An arm's error over the reference's; `n_groups` of test frames that the interval is over beside draws, or 0."""

    interval: Interval
    p_holm: float
    n_groups: int = 0

    @property
    def significant(self) -> bool:
        """Say whether the arms differ, corrected for the number of arms."""
        return self.p_holm < 1.0 - LEVEL


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw, for each regime, a panel for each HF set size, by forces on the hardest test split where there are any."""
    drawn = False
    for part in source.regimes():
        metric, split = part.metric, part.split
        panels = {}
        for size in part.size_names if part.candidates else ():
            cell = part.of_size(size)
            reference = reference_of(cell.candidates) or cell.candidates[0]
            errors = {arm: cell.positive(arm, split, metric) for arm in cell.candidates}
            found = ratios(errors, reference, Blocks(cell.detail("blocks")), split, metric)
            if found:
                panels[size] = reference, found
        if panels:
            drawn = True
            figure = _figure(part, panels, metric, split, style)
            yield Drawing(source.name("forest", part.regime), figure, part.without_ceilings)
    if not drawn:
        raise NothingToDraw("no two arms have repeats over the same draws and seeds, so no ratio has an interval.")


def ratios(
    errors: Mapping[str, Runs], reference: str, blocks: Blocks | None = None, split: str = "", metric: str = ""
) -> dict[str, Ratio]:
    """Compare arms with one of them, paired by (draw, seed), p adjusted by Holm over the arms.

    Where errors are stored by group of test frames, intervals and p are over draws and groups, else over draws.

    Parameters
    ----------
    errors
        By arm; arms without a run are left out.
    reference
        The arm to compare with.
    blocks, split, metric
        Errors by group of test frames, and which of them.

    Returns
    -------
    dict
        By arm, the reference left out; empty where there are no repeats that all arms have.
    """
    runs = {arm: values for arm, values in errors.items() if values}
    if reference not in runs or len(runs) < 2:
        return {}
    try:
        comparison = compare_arms(runs)
    except ValueError:
        return {}
    if comparison.degrees_of_freedom <= 0:
        return {}
    others = [arm for arm in runs if arm != reference]
    found: dict[str, tuple[Interval, int]] = {}
    p_values: dict[str, float] = {}
    for arm in others:
        common = sorted(set(runs[arm]) & set(runs[reference]))
        over_groups = blocks.ratio(arm, reference, common, split, metric, LEVEL) if blocks else None
        if blocks and over_groups:
            found[arm] = over_groups
            p_values[arm] = _p_of(partial(_bounds, blocks, arm, reference, common, split, metric))
        else:
            found[arm] = comparison.ratio(arm, reference, LEVEL), 0
            p_values[arm] = comparison.p_different(arm, reference)
    adjusted = holm(p_values)
    return {arm: Ratio(interval, adjusted[arm], n_groups) for arm, (interval, n_groups) in found.items()}


def _bounds(
    blocks: Blocks, arm: str, reference: str, runs: list[tuple[int, int]], split: str, metric: str, level: float
) -> bool:
    """Say whether the ratio's interval at a level has 1 in it."""
    found = blocks.ratio(arm, reference, runs, split, metric, level)
    return found is None or 1.0 in found[0]


def _p_of(equal_at: Callable[[float], bool]) -> float:
    """Two-sided p of "the ratio is 1": one less the largest level at which the interval leaves 1 out."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if equal_at(middle) else (middle, high)
    return 1.0 - low


def _figure(
    part: Part, panels: dict[str, tuple[str, dict[str, Ratio]]], metric: str, split: str, style: Style
) -> Figure:
    from matplotlib.lines import Line2D

    arms = [arm for arm in part.arms if any(arm in found for _, found in panels.values())]
    look_of = looks(part.arms)
    figure = style.figure("double" if len(panels) > 1 else "single", 26.0 + 5.0 * len(arms))
    drawn = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    estimates = [ratio.interval.estimate for _, found in panels.values() for ratio in found.values()]
    bounds = [b for _, found in panels.values() for r in found.values() for b in (r.interval.low, r.interval.high)]
    low = max(min([1.0, *bounds]) / 1.2, min([1.0, *estimates]) / WIDEST)
    high = min(max([1.0, *bounds]) * 1.2, max([1.0, *estimates]) * WIDEST)
    for axes, (size, (_, found)) in zip(drawn, panels.items(), strict=True):
        for place, arm in enumerate(arms):
            if arm in found:
                _bar(axes, place, found[arm], look_of[arm].colour, look_of[arm].marker, (low, high), style)
        axes.axvline(1.0, color="#606060", linewidth=style.thin(0.8), zorder=1)
        axes.set_title(f"$n_\\mathrm{{high}}$ = {size}")
        axes.set_xscale("log")
        axes.grid(True, axis="x")
    drawn[0].set_xlim(low, high)
    drawn[0].set_yticks(range(len(arms)), [label_of(arm) for arm in arms])
    drawn[0].set_ylim(len(arms) - 0.4, -0.6)
    for axes in drawn:
        log_axis(axes.xaxis, low, high, most=max(15 // len(panels), 3))
    known = metric_of(metric)
    reference = next(iter(panels.values()))[0]
    groups = all(ratio.n_groups for _, found in panels.values() for ratio in found.values())
    over = " and ".join(sorted({part.of_size(size).overlap.over for size in panels}))
    over += " and groups of test frames" * groups
    label = f"{known.label if known else metric} ({PANELS.get(split, split)}), ratio to {label_of(reference)}"
    label += (", " if len(panels) > 1 else "\n") + f"95 % intervals over {over}"
    figure.supxlabel(label, fontsize=style.font_pt)
    filled = Line2D([], [], color="#606060", marker="o", linestyle="none")
    empty = Line2D([], [], color="#606060", marker="o", linestyle="none", markerfacecolor="white")
    words = ["differs from the reference (Holm, 5 %)", "a tie with the reference"]
    figure.legend([filled, empty], words, loc="outside upper center", ncols=2 if len(panels) > 1 else 1)
    return figure


def _bar(
    axes: Axes, place: int, ratio: Ratio, colour: str, marker: str, limits: tuple[float, float], style: Style
) -> None:
    low, high = ratio.interval.low, ratio.interval.high
    line: dict[str, Any] = {"color": colour, "linewidth": style.thin(1.0), "zorder": 2}
    axes.plot([max(low, limits[0]), min(high, limits[1])], [place] * 2, **line)
    for bound, edge, arrow in ((low, limits[0], "<"), (-high, -limits[1], ">")):
        if bound < edge:
            axes.plot([abs(edge)], [place], arrow, color=colour, markersize=3.0 * style.scale, clip_on=False)
    face = colour if ratio.significant else "white"
    marks: dict[str, Any] = {
        "markerfacecolor": face,
        "markeredgecolor": colour,
        "markeredgewidth": style.thin(0.9),
        "zorder": 3,
    }
    size = size_of(marker, 4.5 * style.scale)
    if math.isfinite(ratio.interval.estimate):
        axes.plot([ratio.interval.estimate], [place], marker, markersize=size, **marks)
