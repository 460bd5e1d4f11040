"""`mfbench report`: the tables of stored runs, or a page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.plugins import say_plugins
from mfbench.benchmarks.cli.source import Source, read, say_missing
from mfbench.benchmarks.cli.waiting import waiting


class Format(StrEnum):
    """How a report is written."""

    text = "text"
    md = "md"
    csv = "csv"
    json = "json"
    tex = "tex"
    html = "html"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("report", epilog="Example: mfbench report results/runs/quick --format md")(report)


def report(
    source: Source,
    format: Annotated[Format, typer.Option(help="How to write the tables.")] = Format.text,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="terminal; html: report.html")] = None,
) -> None:
    """Print the tables: per task and HF set size, each arm's errors, costs and failures; html: one page with charts."""
    import sys

    from mfbench.mfcore.locks import only_writer_of

    say_plugins()
    say_missing(source)
    if format is Format.html:
        import shlex

        from mfbench.benchmarks.reports.html.origin import origin_of
        from mfbench.benchmarks.reports.html.page import page
        from mfbench.mfcore.files import write_text

        path = out or Path("report.html")
        command = shlex.join(["mfbench", "report", str(source), "--format", "html", "--out", str(path)])
        with only_writer_of(path), waiting(f"Reading {source}") as told:
            results = read(source)
            told(f"Making the page of {len(results.by_run):,} runs")
            write_text(path, page(results, origin_of(source, command)))
        say(str(path))
        return

    from mfbench.benchmarks.reports import report as make_report

    styled = out is None and sys.stdout.isatty()
    with waiting(f"Reading {source}") as told:
        results = read(source)
        told(f"Making the tables of {len(results.by_run):,} runs")
        text = make_report(results, format.value, styled=styled)
    if out is None:
        typer.echo(text)  # may be styled; names in it are in one line already
    else:
        from mfbench.mfcore.files import write_text

        with only_writer_of(out):
            write_text(out, text)
        say(str(out))
