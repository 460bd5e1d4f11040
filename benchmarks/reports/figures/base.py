"""What each kind of figure gives: drawings with the rows that they are drawn from, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.rows import REGIME, Cell, cells, regimes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class NothingToDraw(Exception):
    """The runs do not have what a kind of figure shows; the message says what is missing."""


@dataclass(frozen=True)
class Drawing:
    """A figure, the name of its files without the ending, and the rows of the runs in it."""

    name: str
    figure: Figure
    rows: DataFrame


@dataclass(frozen=True)
class Source:
    """Rows and details of the runs to draw."""

    rows: DataFrame
    details: Details

    def regimes(self) -> Iterator[tuple[dict[str, str], DataFrame]]:
        """Go through the regimes, each with its rows of all HF set sizes."""
        return regimes(self.rows)

    def cells(self) -> Iterator[Cell]:
        """Go through the regimes and HF set sizes."""
        return cells(self.rows)

    @property
    def varying(self) -> list[str]:
        """Parts of the regime, beside the task, in which these runs differ."""
        found = [regime for regime, _ in self.regimes()]
        return [key for key in REGIME if key != "task" and len({regime[key] for regime in found}) > 1]

    def name(self, kind: str, regime: Mapping[str, str], *more: str) -> str:
        """Name of a figure's files: kind, task, what tells the regime from others, and what is in the figure."""
        parts = [kind, regime["task"], *(regime[key] for key in self.varying), *more]
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(parts))

    def title(self, regime: Mapping[str, str], *more: str) -> str:
        """Title of a figure or panel: what tells the regime from the others of its task."""
        return ", ".join([*(f"{_WORDS.get(key, '')}{regime[key]}" for key in self.varying), *more])


_WORDS = {"n_low": "$n_\\mathrm{low}$ = ", "coverage": "coverage ", "e0": "E0 "}
