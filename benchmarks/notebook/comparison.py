"""The result of `mfbench.compare`: verdict, tables and figures of stored runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.notebook.html import html_of
from mfbench.benchmarks.notebook.tables import long, wide
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.results import Results
from mfbench.mfcore.metrics.recommendation import Recommendation

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class Comparison:
    """A comparison of arms on a user's frames.

    In a notebook it shows itself: the verdict, the tables, and, folded, what marks mean and how the files were read.
    As text it is what `mfbench compare` prints.

    Attributes
    ----------
    folder
        Folder of the runs: `mfbench report`, `figures` and the same call find them there.
    results
        The stored runs as reports read them.
    verdicts
        For each table, the sentence that names an arm or says why none can be named.
    outlook
        What twice the HF labels would give, where several numbers of them were compared.
    said
        How the files were read, what was left out, and what was computed.
    failed
        Runs that failed, with their reasons.
    """

    folder: Path
    results: Results
    verdicts: Sequence[str]
    outlook: Sequence[str] = ()
    said: Sequence[str] = ()
    failed: Sequence[str] = ()

    @property
    def recommendation(self) -> str:
        """The arm to use and its probability of being best, or why none can be named."""
        return "\n".join(self.verdicts)

    @property
    def arm(self) -> str | None:
        """Name of the arm to use; None if none can be named, or tables of several sizes or cores name different ones.

        See :attr:`recommendations` for each table.
        """
        named = {found.arm for found in self.recommendations.values()}
        return named.pop() if len(named) == 1 else None

    @cached_property
    def recommendations(self) -> dict[str, Recommendation]:
        """By the title of its table: the arm, its probability of being best, those of the others, and ties."""
        return {cell.title: cell.recommendation() for cell in self.results.cells}

    @cached_property
    def tables(self) -> dict[str, DataFrame]:
        """By its title, each table of errors and costs: arms are lines (see :func:`wide`)."""
        return wide(self.results)

    @cached_property
    def table(self) -> DataFrame:
        """All tables in one, a line for each arm and quantity, with limits of the intervals and units."""
        return long(self.results)

    @property
    def rows(self) -> DataFrame:
        """Each metric of each run, as it is stored."""
        return self.results.rows

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The figures that these runs have the data for, by name."""
        from mfbench.benchmarks.reports.figures import drawn

        if "ipykernel" in sys.modules:
            import matplotlib.pyplot as plt

            plt.switch_backend(plt.get_backend())  # loaded now, the notebook's shows figures as images

        return {drawing.name: drawing.figure for drawing in drawn(self.results)}

    def report(self, format: str = "text") -> str:
        """Write the tables as "text", "markdown", "csv", "json" or "latex"."""
        return report(self.results, format)

    def __str__(self) -> str:
        return "\n".join([self.report(), *self.verdicts, *(f"\n{paragraph}" for paragraph in self.outlook)])

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.results.arms)} in {self.folder}: {self.recommendation}>"

    def _repr_html_(self) -> str:
        return html_of(self.results, self.verdicts, self.outlook, [*self.said, *self.failed])
