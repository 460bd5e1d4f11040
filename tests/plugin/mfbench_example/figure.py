"""Forces against energies: one point for each test frame, by arm."""

from __future__ import annotations

from collections.abc import Iterator

from mfbench.benchmarks.reports.arms import in_order
from mfbench.benchmarks.reports.figures.base import Drawing, NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import Style, label_of, looks


def draw(source: Source, style: Style) -> Iterator[Drawing]:
    """Draw a figure for each regime and HF set size."""
    drawn = False
    for cell in source.cells():
        table = cell.detail("conservation")
        if len(table):
            drawn = True
            figure = style.figure("single", 60.0)
            axes = figure.subplots()
            for place, (arm, look) in enumerate(looks(in_order(table["arm"])).items()):
                errors = table.loc[table["arm"] == arm, "error_mev_per_A"]
                axes.plot([place] * len(errors), errors, look.marker, color=look.colour, label=label_of(arm))
            axes.set_yscale("log")
            axes.set_xticks([])
            figure.legend(loc="outside lower center", ncols=2)
            axes.set_ylabel("|F + dE/dx| (meV/Å)")
            yield Drawing(source.name("conservation", cell.regime, f"n_high_{cell.n_high}"), figure, cell.rows)
    if not drawn:
        raise NothingToDraw("no run has forces beside differences of energies.")
