"""The tables of a report as text, Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence

from mfbench.benchmarks.observables.declarations import BASELINES
from mfbench.benchmarks.reports.costs import cost_summaries, tidy_costs
from mfbench.benchmarks.reports.grids import Field, Grid, Page, grid, pages
from mfbench.benchmarks.reports.latex import latex
from mfbench.benchmarks.reports.numbers import MISSING, number, with_error
from mfbench.benchmarks.reports.recommend import advice
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.starting_points import tidy_starts
from mfbench.benchmarks.reports.summary import HF_REFERENCE, Quantity, Summary, summaries, tidy
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.text import csv_text, markdown, markdown_code, markdown_prose

__all__ = ["MISSING", "number", "report", "with_error"]

WIDTH = 120
"""Columns of the terminal that the text tables fit."""

SHORT = {
    "10⁶ atom gradients": "10⁶ atom\ngradients",
    "meV/atom": "meV/at",
    "µs/atom": "µs/at",
    "meV/atom/ps": "meV/at/ps",
}
"""Units as text tables write them, to fit; the note below a table says so."""


def report(results: Results, format: str = "text", *, styled: bool = False) -> str:
    """Write the tables: per task, regime and HF set size, each arm's errors, costs and failures.

    Parameters
    ----------
    results
        The runs. With errors by group of test frames among their details, intervals are over runs and groups.
    format
        "text" (fits 120 columns), "markdown" ("md"), "csv", "json", or "latex" ("tex").
    styled
        Text only: bold as terminal codes. Without it the best arm and its ties are marked by an asterisk.

    Raises
    ------
    ConfigError
        If the format is unknown.
    """
    writers: dict[str, Callable[[], str]] = {
        "text": lambda: _text(pages(results), styled),
        "markdown": lambda: _markdown(pages(results)),
        "md": lambda: _markdown(pages(results)),
        "csv": lambda: _csv(_records(results)),
        "json": lambda: json.dumps(_without_nan(_records(results)), indent=1, ensure_ascii=False),
        "latex": lambda: latex(pages(results), _advised),
        "tex": lambda: latex(pages(results), _advised),
    }
    if format not in writers:
        raise ConfigError(f"report format '{format}': expected one of {', '.join(writers)}.")
    return writers[format]()


def _advised(page: Page) -> list[str]:
    """Give the sentence of advice that belongs under a page, where its runs are repeated."""
    return [advice(page.summary.cell)] if page.summary is not None and page.summary.repeated else []


def _columns(table: Summary, fits: Callable[[Grid], bool]) -> list[Grid]:
    """Divide errors and costs into tables that fit: all in one; else as many metrics each as fit, and the costs."""
    everything = grid(table, (*table.scores, *table.costs), True)
    if fits(everything):
        return [everything]
    found: list[Grid] = []
    columns: tuple[Quantity, ...] = ()
    for name in dict.fromkeys(quantity.key for quantity in table.scores):
        metric = tuple(quantity for quantity in table.scores if quantity.key == name)
        if columns and not fits(grid(table, (*columns, *metric), True)):
            found.append(grid(table, columns, True))
            columns = ()
        columns += metric
    return [*found, grid(table, columns, True), grid(table, table.costs, True)]


def _parts(made: Grid, fits: Callable[[Grid], bool]) -> list[Grid]:
    """Divide a grid by its columns into some that fit; the arm stands in each."""
    found: list[Grid] = []
    columns: list[int] = []

    def part(of: Sequence[int]) -> Grid:
        chosen = (0, *of)
        lines = tuple(tuple(line[i] for i in chosen) for line in made.lines)
        return Grid(tuple(made.header[i] for i in chosen), lines, made.title if not found else "")

    for column in range(1, len(made.header)):
        if columns and not fits(part([*columns, column])):
            found.append(part(columns))
            columns = []
        columns.append(column)
    return [*found, part(columns)]


def _text(made: Sequence[Page], styled: bool) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    def mark(field: Field) -> str:
        if field.best:
            return f"[bold]{field.text}[/bold]" if styled else f"{field.text}*"
        # Where arms are ranked there must be room for the mark, so that numbers stay in line.
        return escape(f"{field.text} " if "±" in field.text and not styled else field.text)

    def fits(made: Grid) -> bool:
        width = 1
        for index, (title, unit) in enumerate(made.header):
            texts = [line[index].text + " " * ("±" in line[index].text) for line in made.lines]
            width += 2 + max(map(len, (*_head(title, unit).split("\n"), *texts)))
        return width <= WIDTH

    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, force_terminal=styled, color_system="standard" if styled else None)
    for page in made:
        console.print(escape(page.title), style="bold", highlight=False, soft_wrap=True)
        grids = _columns(page.summary, fits) if page.summary else []
        for below in (*grids, *(part for whole in page.grids for part in _parts(whole, fits))):
            if below.title:
                console.print(escape(f"{below.title}:"), highlight=False, soft_wrap=True)
            drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
            for index, (title, unit) in enumerate(below.header):
                whole = index == 0 or fits(below)
                drawn.add_column(
                    _head(title, unit), justify="right" if index else "left", no_wrap=whole, vertical="bottom"
                )
            for line in below.lines:
                drawn.add_row(*(mark(field) for field in line))
            console.print(drawn, highlight=False)
            console.print()
        for note in page.notes:
            console.print(escape(note.replace("networks:", "at: atom; networks:")), style="dim", highlight=False)
        for sentence in _advised(page):
            console.print(escape(sentence), highlight=False)
        console.print()
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n") + "\n"


def _head(title: str, unit: str) -> str:
    """Write the head of a column in as many lines as it has parts."""
    return "\n".join([*title.replace(" (", ", (").split(", "), *([SHORT.get(unit, unit)] if unit else [])])


def _markdown(made: Sequence[Page]) -> str:
    lines: list[str] = []
    for page in made:
        lines += [f"### {markdown(page.title)}", ""]
        table = page.summary
        for below in (*([grid(table, (*table.scores, *table.costs), True)] if table else []), *page.grids):
            if below.title:
                lines += [f"{markdown(below.title[0].upper() + below.title[1:])}:", ""]
            header = [markdown(f"{title} ({unit})" if unit else title) for title, unit in below.header]
            lines.append("| " + " | ".join(header) + " |")
            lines.append("|:--" + "|--:" * (len(header) - 1) + "|")
            for name, *fields in below.lines:
                texts = [f"**{field.text}**" if field.best else markdown(field.text) for field in fields]
                first = name.text if name.text in (HF_REFERENCE, *BASELINES.values()) else markdown_code(name.text)
                lines.append("| " + " | ".join([first, *texts]) + " |")
            lines.append("")
        notes = [note.replace("bold, or *", "bold") for note in page.notes]
        lines += [markdown_prose(" ".join([*notes, *_advised(page)])), ""]
    return "\n".join(lines)


def _records(results: Results) -> list[dict[str, object]]:
    return [*tidy(summaries(results)), *tidy_costs(cost_summaries(results)), *tidy_starts(results)]


def _csv(records: list[dict[str, object]]) -> str:
    import pandas as pd

    safe = [{k: csv_text(v) if isinstance(v, str) else v for k, v in record.items()} for record in records]
    return str(pd.DataFrame(safe).to_csv(index=False))


def _without_nan(records: list[dict[str, object]]) -> list[dict[str, object]]:
    """Write what is not known as null: NaN is no JSON."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}
        for record in records
    ]
