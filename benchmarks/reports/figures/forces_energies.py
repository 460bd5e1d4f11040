"""Force error against energy error: an arm that is good at one need not be good at the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.points import log_interval
from mfbench.benchmarks.reports.figures.style import PANELS, Style, handle, label_of, log_axis, looks, size_of
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.results import Part
from mfbench.mfcore.metrics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENERGY, FORCE = "energy_mae_mev_per_atom", "force_mae_mev_per_A"
MOST_PANELS = 4


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw, for each regime, the arms by both errors on the hardest test split, a panel for each HF set size."""
    drawn = False
    for part in source.regimes():
        figure = _figure(part, style) if {ENERGY, FORCE} <= {metric for metric, _ in part.measured} else None
        if figure is not None:
            drawn = True
            yield Drawing(source.name("forces-energies", part.regime), figure, part.rows)
    if not drawn:
        raise NothingToDraw("no regime has errors of both energies and forces.")


def _figure(part: Part, style: Style) -> Figure | None:
    """Draw a regime; None where no arm has two errors above zero, which logarithmic axes can show."""
    split, sizes = part.split, part.size_names
    if split not in part.splits_of(FORCE):
        split = part.splits_of(FORCE)[-1]
    if len(sizes) > MOST_PANELS:  # the ends and what lies evenly between
        steps = [round(i * (len(sizes) - 1) / (MOST_PANELS - 1)) for i in range(MOST_PANELS)]
        sizes = [sizes[i] for i in steps]
    look_of = looks(part.arms)
    figure = style.figure("double", 70.0)
    panels = figure.subplots(1, len(sizes), sharex=True, sharey=True, squeeze=False)[0]
    seen: dict[str, Any] = {}
    means: list[tuple[float, float]] = []
    for axes, size in zip(panels, sizes, strict=True):
        for arm, look in look_of.items():
            here = part if traits(arm).is_ceiling else part.of_size(size)
            energy, force = (here.positive(arm, split, metric) for metric in (ENERGY, FORCE))
            if energy and force:
                x, y = log_interval(energy), log_interval(force)
                _cross(axes, x, y, look.colour, style)
                marks: dict[str, Any] = {"markersize": size_of(look.marker, 4.5 * style.scale), "zorder": 3}
                axes.plot([x.estimate], [y.estimate], look.marker, color=look.colour, **marks)
                seen[label_of(arm)] = handle(look, line=False)
                means.append((x.estimate, y.estimate))
        axes.set_title(f"$n_\\mathrm{{high}}$ = {size}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(True)
    if not means:
        return None
    for which, axis_of, limit in ((0, "xaxis", "set_xlim"), (1, "yaxis", "set_ylim")):
        low, high = min(mean[which] for mean in means) / 1.8, max(mean[which] for mean in means) * 1.8
        getattr(panels[0], limit)(low, high)
        for axes in panels:
            log_axis(getattr(axes, axis_of), low, high, most=9 if which else 12 // len(sizes))
    labels = [known.axis for name in (ENERGY, FORCE) if (known := metric_of(name))]
    figure.supxlabel(f"{labels[0]}, {PANELS.get(split, split)}", fontsize=style.font_pt)
    panels[0].set_ylabel(labels[1])
    figure.legend(list(seen.values()), list(seen), loc="outside right center")
    return figure


def _cross(axes: Axes, x: Interval, y: Interval, colour: str, style: Style) -> None:
    """Draw both intervals; over few draws they may be longer than the axes."""
    line: dict[str, Any] = {"color": colour, "linewidth": style.thin(0.5), "alpha": 0.6, "zorder": 2}
    if math.isfinite(x.low):
        axes.plot([x.low, x.high], [y.estimate] * 2, **line)
    if math.isfinite(y.low):
        axes.plot([x.estimate] * 2, [y.low, y.high], **line)
