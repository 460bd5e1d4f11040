"""How figures look: sizes for a page and for a slide, and one colour, marker and line for each arm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mfbench.benchmarks.reports.arms import traits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MM_PER_INCH = 25.4

PANELS = {"in_coverage": "in coverage", "out_of_coverage": "out of coverage"}
"""Titles of test splits."""

OTHERS: tuple[tuple[str, str, Any], ...] = (
    ("#CC79A7", "h", "-"),
    ("#CC79A7", "8", "--"),
    ("#F0E442", ">", "-"),
    ("#F0E442", "p", "--"),
)
"""For arms without a look of their own. Colours of all are Okabe and Ito's, which the colour-blind tell apart."""


class Look(NamedTuple):
    """Colour, marker and line of an arm."""

    colour: str
    marker: str
    line: Any


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """Give each arm its look; arms without one of their own get what is left, in order."""
    names = list(arms)
    extra = iter(OTHERS * len(names))
    found = {}
    for arm in names:
        known = traits(arm)
        if known.colour and known.marker:
            found[arm] = Look(known.colour, known.marker, known.line)
        else:
            colour, marker, line = next(extra)
            found[arm] = Look(known.colour or colour, known.marker or marker, line)
    return found


def label_of(arm: str) -> str:
    """Name of an arm in legends and on axes."""
    return traits(arm).label


@dataclass(frozen=True)
class Style:
    """Sizes of figures for one use.

    Attributes
    ----------
    name
        As `--style` names it.
    single_inches, double_inches
        Width of one and of two columns.
    font_pt
        Size of labels; ticks and legends are a little smaller.
    dpi
        Of PNG files.
    """

    name: str
    single_inches: float
    double_inches: float
    font_pt: float
    dpi: int

    @property
    def scale(self) -> float:
        """Size of marks and lines in units of those on paper."""
        return self.font_pt / 8.0

    def rc(self) -> dict[Any, Any]:
        """Settings of matplotlib that hold while a figure is drawn and saved."""
        return {
            "font.family": "DejaVu Sans",  # comes with matplotlib, so that figures are alike everywhere
            "font.size": self.font_pt,
            "axes.labelsize": self.font_pt,
            "axes.titlesize": self.font_pt,
            "figure.titlesize": self.font_pt,
            "xtick.labelsize": 0.875 * self.font_pt,
            "ytick.labelsize": 0.875 * self.font_pt,
            "legend.fontsize": 0.875 * self.font_pt,
            "legend.title_fontsize": 0.875 * self.font_pt,
            "axes.linewidth": 0.6 * self.scale,
            "xtick.major.width": 0.6 * self.scale,
            "ytick.major.width": 0.6 * self.scale,
            "xtick.major.size": 3.0 * self.scale,
            "ytick.major.size": 3.0 * self.scale,
            "xtick.minor.size": 1.5 * self.scale,
            "ytick.minor.size": 1.5 * self.scale,
            "grid.linewidth": 0.3 * self.scale,
            "grid.alpha": 0.5,
            "lines.linewidth": 1.0 * self.scale,
            "lines.markersize": 4.5 * self.scale,
            "legend.frameon": False,
            "axes.titlepad": 4.5 * self.scale,
            "figure.constrained_layout.w_pad": 0.042 * self.scale,
            "figure.constrained_layout.h_pad": 0.042 * self.scale,
            "pdf.fonttype": 42,  # TrueType, embedded
            "svg.fonttype": "path",  # glyphs as outlines: the same without the font
            "svg.hashsalt": "mfbench",
        }

    def figure(self, columns: Literal["single", "double"], height_mm: float) -> Figure:
        """Make an empty figure of one or two columns' width; the height is that on paper."""
        from matplotlib.figure import Figure

        paper = {"single": 89.0, "double": 183.0}[columns]
        width = {"single": self.single_inches, "double": self.double_inches}[columns]
        return Figure(figsize=(width, height_mm * width / paper), layout="constrained")

    def thin(self, width: float = 0.7) -> float:
        """Width in pt of a line that has this width on paper."""
        return width * self.scale


PAPER = Style("paper", 89.0 / MM_PER_INCH, 183.0 / MM_PER_INCH, 8.0, 300)
TALK = Style("talk", 7.0, 12.8, 15.0, 150)  # 16:9 slides are 13.33 inches wide
USES = {style.name: style for style in (PAPER, TALK)}


def size_of(marker: str, points: float) -> float:
    """Size at which a marker looks as large as a circle of this size."""
    return points * {"*": 1.45, "X": 1.1, "P": 1.1}.get(marker, 1.0)


def handle(look: Look, *, line: bool = True) -> Line2D:
    """Make an arm's entry of a legend."""
    from matplotlib import rcParams
    from matplotlib.lines import Line2D

    size = size_of(look.marker, rcParams["lines.markersize"])
    line_style: Any = look.line if line else "none"
    return Line2D([], [], color=look.colour, marker=look.marker, markersize=size, linestyle=line_style)


def show_means(panels: Sequence[Axes], means: Sequence[float], room: float = 1.6) -> None:
    """Let a shared logarithmic y axis show what is to be seen, with some room: bars may be longer than any axis."""
    low, high = min(means) / room, max(means) * room
    panels[0].set_ylim(low, high)
    for axes in panels:
        log_axis(axes.yaxis, low, high)


def log_axis(axis: Axis, low: float, high: float, most: int = 9) -> None:
    """Tick a logarithmic axis by plain numbers between its ends: as many as there are, but at most `most`.

    Small ticks stand at the other multiples of powers of ten, unless they would crowd: more than twice `most` in all.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

    for factors in _FACTORS:
        ticks = _ticks(low, high, factors)
        if len(ticks) <= most:
            break
    else:
        ticks = ticks[:: math.ceil(len(ticks) / most)]
    if len(ticks) < 2:  # a small part of a decade
        ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(plain))
    small = [tick for tick in _ticks(low, high, range(1, 10)) if not any(math.isclose(tick, t) for t in ticks)]
    axis.set_minor_locator(FixedLocator(small if len(small) + len(ticks) <= 2 * most else []))
    axis.set_minor_formatter(NullFormatter())


_FACTORS = (
    (
        1.0,
        1.1,
        1.2,
        1.3,
        1.4,
        1.5,
        1.6,
        1.7,
        1.8,
        1.9,
        2.0,
        2.2,
        2.4,
        2.6,
        2.8,
        3.0,
        3.5,
        4.0,
        4.5,
        5.0,
        6.0,
        7.0,
        8.0,
        9.0,
    ),
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)
"""Of the ticks within a decade, dense to sparse."""


def _ticks(low: float, high: float, factors: Sequence[float]) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for d in decades for f in factors if low <= (tick := f * 10.0**d) <= high]


def plain(value: float, _: object = None) -> str:
    """Write a tick: plain where that is short, else a power of ten."""
    if value <= 0.0 or 1e-3 <= value < 1e5:
        return f"{value:g}"
    power = math.floor(math.log10(value) + 1e-9)
    factor = value / 10.0**power
    start = "" if abs(factor - 1.0) < 1e-6 else f"{factor:g}·"
    return f"${start}10^{{{power}}}$"
