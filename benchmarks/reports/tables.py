"""The tables of a report as text, Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.reports.numbers import MISSING, number, with_error
from benchmarks.reports.recommend import advice
from benchmarks.reports.summary import Entry, Quantity, Summary, summaries, tidy
from mfcore.errors import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame

WIDTH = 120
"""Columns of the terminal that the text tables fit."""

SHORT = {"meV/atom": "meV/at", "µs/atom": "µs/at"}
"""Units as text tables write them, to fit; the note below a table says so."""

Style = Callable[[str, bool], str]
Block = tuple[tuple[Quantity, ...], bool]
"""Columns that stand in one table, and whether the numbers of runs stand there too."""


def report(rows: DataFrame, format: str = "text", *, styled: bool = False) -> str:
    """Write the tables: per task, regime and HF set size, each arm's errors, costs and failures.

    Parameters
    ----------
    rows
        Long rows, as `mfbench run` stores them.
    format
        "text" (fits 120 columns), "markdown" ("md"), "csv", "json", or "latex" ("tex").
    styled
        Text only: bold as terminal codes. Without it the best arm and its ties are marked by an asterisk.

    Raises
    ------
    ConfigError
        If the format is unknown or `rows` lacks a column.
    """
    writers: dict[str, Callable[[], str]] = {
        "text": lambda: _text(rows, styled),
        "markdown": lambda: _markdown(rows),
        "md": lambda: _markdown(rows),
        "csv": lambda: _csv(rows),
        "json": lambda: json.dumps(_without_nan(tidy(summaries(rows))), indent=1, ensure_ascii=False),
        "latex": lambda: _latex(rows),
        "tex": lambda: _latex(rows),
    }
    if format not in writers:
        raise ConfigError(f"report format '{format}': expected one of {', '.join(writers)}.")
    return writers[format]()


def _value(entry: Entry | None, quantity: Quantity, joint: str = " ± ") -> str:
    if entry is None:
        return MISSING
    interval = entry.interval
    value = quantity.scale * interval.estimate
    if quantity.key == "inference_evaluations":
        return f"{value:g}"
    if quantity.is_cost:
        return number(value)
    return with_error(value, quantity.scale * interval.half_width, joint)


def _header(table: Summary, quantities: Sequence[Quantity], counts: bool) -> list[tuple[str, str]]:
    columns = [("arm", "")] + [(quantity.title, quantity.unit) for quantity in quantities]
    return columns + ([("runs", ""), ("failed", "")] if counts else [])


def _body(
    table: Summary, quantities: Sequence[Quantity], counts: bool, mark: Style, joint: str = " ± "
) -> list[list[str]]:
    body = []
    for line in table.lines:
        entries = [table.entries.get((line.arm, quantity)) for quantity in quantities]
        if not counts and all(entry is None for entry in entries):
            continue  # an arm that does not answer for LF has no line in the table of LF retention
        values = [
            mark(_value(entry, quantity, joint), entry is not None and entry.best)
            for entry, quantity in zip(entries, quantities, strict=True)
        ]
        tail = [str(line.n_runs), str(line.n_failed)] if counts else []
        body.append([line.arm, *values, *tail])
    return body


def _blocks(table: Summary, fits: Callable[[Sequence[Quantity], bool], bool]) -> list[Block]:
    """Divide the columns into tables that fit: all in one; else as many metrics each as fit, and the costs."""
    everything = (*table.scores, *table.costs)
    blocks: list[Block] = []
    if fits(everything, True):
        blocks.append((everything, True))
    else:
        columns: tuple[Quantity, ...] = ()
        for name in dict.fromkeys(quantity.key for quantity in table.scores):
            metric = tuple(quantity for quantity in table.scores if quantity.key == name)
            if columns and not fits((*columns, *metric), True):
                blocks.append((columns, True))
                columns = ()
            columns += metric
        blocks += [(columns, True), (table.costs, True)]
    if table.retention:
        blocks.append((table.retention, False))
    return blocks


def _text(rows: DataFrame, styled: bool) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    def mark(text: str, best: bool) -> str:
        if best:
            return f"[bold]{text}[/bold]" if styled else f"{text}*"
        # Where arms are ranked there must be room for the mark, so that numbers stay in line.
        return f"{text} " if "±" in text and not styled else text

    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, force_terminal=styled, color_system="standard" if styled else None)
    advised = advice(rows)
    for table in summaries(rows):

        def fits(quantities: Sequence[Quantity], counts: bool, table: Summary = table) -> bool:
            lines = [
                [max(title, SHORT.get(unit, unit), key=len) for title, unit in _header(table, quantities, counts)],
                *_body(table, quantities, counts, lambda text, _: f"{text} " if "±" in text else text),
            ]
            return sum(max(map(len, column)) + 2 for column in zip(*lines, strict=True)) + 1 <= WIDTH

        console.print(escape(table.cell.title), style="bold", highlight=False, soft_wrap=True)
        for quantities, counts in _blocks(table, fits):
            drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
            for index, (title, unit) in enumerate(_header(table, quantities, counts)):
                drawn.add_column(
                    f"{title}\n{SHORT.get(unit, unit)}", justify="right" if index else "left", no_wrap=True
                )
            for line in _body(table, quantities, counts, mark):
                drawn.add_row(*line)
            console.print(drawn, highlight=False)
            console.print()
        for note in table.notes():
            console.print(escape(note.replace("Mgrad:", "at: atom. Mgrad:")), style="dim", highlight=False)
        if table.repeated:
            console.print(escape(advised[table.cell.title]), highlight=False)
        console.print()
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n") + "\n"


def _markdown(rows: DataFrame) -> str:
    lines: list[str] = []
    advised = advice(rows)
    for table in summaries(rows):
        lines += [f"### {table.cell.title}", ""]
        blocks: list[Block] = [((*table.scores, *table.costs), True)]
        if table.retention:
            blocks.append((table.retention, False))
        for quantities, counts in blocks:
            header = [f"{title} ({unit})" if unit else title for title, unit in _header(table, quantities, counts)]
            lines.append("| " + " | ".join(header).replace("E*", "E\\*") + " |")
            lines.append("|:--" + "|--:" * (len(header) - 1) + "|")
            body = _body(table, quantities, counts, lambda text, best: f"**{text}**" if best else text)
            lines += ["| " + " | ".join([f"`{line[0]}`", *line[1:]]) + " |" for line in body]
            lines.append("")
        notes = [note.replace("E*", "E\\*").replace("bold, or *", "bold") for note in table.notes()]
        if table.repeated:
            notes.append(advised[table.cell.title])
        lines += [" ".join(notes), ""]
    return "\n".join(lines)


def _csv(rows: DataFrame) -> str:
    import pandas as pd

    return str(pd.DataFrame(tidy(summaries(rows))).to_csv(index=False))


def _latex(rows: DataFrame) -> str:
    """Tables for booktabs and siunitx (version 3): S columns, `value +- error`, bold by weight."""
    lines = [
        r"% \usepackage{booktabs,siunitx}",
        r"% \sisetup{uncertainty-mode = separate, text-series-to-math = true, propagate-math-font = true}",
    ]
    advised = advice(rows)
    for table in summaries(rows):
        blocks: list[Block] = [(table.scores, True), (table.costs, False)]
        if table.retention:
            blocks.append((table.retention, False))
        for quantities, counts in blocks:
            header = _header(table, quantities, counts)
            body = _body(
                table,
                quantities,
                counts,
                lambda text, best: rf"\bfseries {text}" if best else text.replace(MISSING, "{--}"),
                " +- ",
            )
            lines += ["", rf"% {table.cell.title}", r"\begin{tabular}{l" + "S" * len(quantities) + "rr" * counts + "}"]
            lines.append(r"\toprule")
            lines.append(" & ".join(f"{{{_tex(title)}}}" for title, _ in header) + r" \\")
            lines.append(" & ".join(f"{{{_tex(unit)}}}" for _, unit in header) + r" \\")
            lines.append(r"\midrule")
            lines += [" & ".join([_tex(line[0]), *line[1:]]) + r" \\" for line in body]
            lines += [r"\bottomrule", r"\end{tabular}"]
        notes = [note.replace("bold, or *", "bold") for note in table.notes()]
        if table.repeated:
            notes.append(advised[table.cell.title])
        lines += [f"% {note}" for note in notes]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    escaped = {"_": r"\_", "%": r"\%", "Å": r"\AA{}", "µ": r"\textmu{}", "E*": r"$E^{*}$"}
    for plain, tex in escaped.items():
        text = text.replace(plain, tex)
    return text


def _without_nan(records: list[dict[str, object]]) -> list[dict[str, object]]:
    """Write what is not known as null: NaN is no JSON."""
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}
        for record in records
    ]
