"""Interface of the kinds of figures: drawings with the rows that they are made of, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.results import Cell, Part, Results

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
    """Runs to draw, and how their figures are called."""

    results: Results

    @property
    def details(self) -> Details:
        """Tables that the runs store beside rows."""
        return self.results.details

    def regimes(self) -> list[Part]:
        """Regimes, each with its runs of all HF set sizes."""
        return self.results.regimes

    def cells(self) -> list[Cell]:
        """Regimes and HF set sizes."""
        return self.results.cells

    @property
    def varying(self) -> list[str]:
        """Parts of the regime, beside the task, in which these runs differ."""
        return [key for key in self.results.varying if key != "task"]

    def name(self, kind: str, regime: Mapping[str, str], *more: str, without: str = "") -> str:
        """Name of a figure's files: kind, task, what tells the regime from others, and what is in the figure.

        `without` is a part of the regime that the figure has several of.
        """
        parts = [kind, regime["task"], *(regime[key] for key in self.varying if key != without), *more]
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(parts))

    def title(self, regime: Mapping[str, str], *more: str) -> str:
        """Title of a figure or panel: what tells the regime from the others of its task."""
        return ", ".join([*(f"{_WORDS.get(key, '')}{regime[key]}" for key in self.varying), *more])


_WORDS = {
    "core": "core ",
    "n_low": "$n_\\mathrm{low}$ = ",
    "coverage": "coverage ",
    "e0": "E0 ",
    "selection": "selection ",
    "budget": "budget ",
}
