"""A comparison as HTML in a notebook: the verdict, its reasons, the tables, and what was said on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mfbench.benchmarks.reports.grids import Grid, Page, grid, pages
from mfbench.benchmarks.reports.results import Results

_CELL = "padding:0.1em 0.6em;white-space:nowrap;text-align:"


def html_of(results: Results, verdicts: Sequence[str], outlook: Sequence[str], said: Sequence[str]) -> str:
    """Write a comparison; every text is escaped, since names come from files.

    Parameters
    ----------
    verdicts
        A sentence for each table.
    outlook
        Paragraphs on what more labels would give.
    said
        Sentences on how files were read and what was left out.
    """
    parts = [f"<p><strong>{escape(sentence)}</strong></p>" for sentence in verdicts]
    for page in pages(results):
        parts += [f"<p>{escape(page.title)}</p>", *(_table(made) for made in _grids(page))]
        parts.append(_folded("What columns and marks mean", page.notes))
    parts += [f"<pre>{escape(paragraph)}</pre>" for paragraph in outlook]
    parts.append(_folded("How the files were read, and what was computed", said))
    return "<div>" + "\n".join(parts) + "</div>"


def _grids(page: Page) -> Iterable[Grid]:
    if page.summary is not None:
        yield grid(page.summary, page.summary.scores, True)
        yield grid(page.summary, page.summary.costs, False)
    yield from page.grids


def _table(made: Grid) -> str:
    caption = f"<caption>{escape(made.title)}</caption>" if made.title else ""
    head = "".join(
        f"<th{_style(index)}>{escape(title)}{f'<br>{escape(unit)}' if unit else ''}</th>"
        for index, (title, unit) in enumerate(made.header)
    )
    lines = []
    for line in made.lines:
        texts = [f"<strong>{escape(field.text)}</strong>" if field.best else escape(field.text) for field in line]
        lines.append("<tr>" + "".join(f"<td{_style(index)}>{text}</td>" for index, text in enumerate(texts)) + "</tr>")
    table = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div style="overflow-x:auto" tabindex="0">{table}</div>'


def _style(column: int) -> str:
    return f' style="{_CELL}{"right" if column else "left"}"'


def _folded(title: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<details><summary>{escape(title)}</summary><ul>{items}</ul></details>"
