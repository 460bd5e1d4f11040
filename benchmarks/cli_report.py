"""`mfbench report`, `figures` and `export`: what is computed from stored rows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs, or a file of rows (.csv.gz).")]


class Format(StrEnum):
    """How a report is written."""

    text = "text"
    md = "md"
    csv = "csv"
    json = "json"
    tex = "tex"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("report", epilog="Example: mfbench report results/runs/quick --format md")(report)
    app.command("figures", epilog="Example: mfbench figures results/runs/standard")(figures)
    app.command("export", epilog="Example: mfbench export results/runs/standard results/mine/rows.csv.gz")(export)


def report(
    source: Source,
    format: Annotated[Format, typer.Option(help="How to write the tables.")] = Format.text,
) -> None:
    """Print the tables: per task and HF set size, each arm's errors, costs and failures."""
    import sys

    from benchmarks.harness.rows_file import read_rows
    from benchmarks.reports import report as make_report

    typer.echo(make_report(read_rows(source), format.value, styled=sys.stdout.isatty()))


def figures(
    source: Source,
    out: Annotated[Path | None, typer.Option(help="Folder of the figures.", show_default="figures, beside it")] = None,
) -> None:
    """Draw the learning curves of stored runs."""
    from benchmarks.harness.rows_file import read_rows
    from benchmarks.reports.figures import figures as draw

    folder = out or (source if source.is_dir() else source.parent) / "figures"
    for path in draw(read_rows(source), folder, command=f"mfbench figures {source}"):
        typer.echo(str(path))


def export(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs.")],
    file: Annotated[Path, typer.Argument(help="File to write (.csv.gz).")],
    detail: Annotated[
        list[str] | None,
        typer.Option(help="Detail to write beside it; may be repeated.", show_default="all there are but predictions"),
    ] = None,
) -> None:
    """Write the rows of a folder of runs into one small file, and their details beside it, for keeping or sharing."""
    from benchmarks.harness.details import LISTS
    from benchmarks.harness.rows_file import read_rows, write_details, write_rows
    from benchmarks.harness.store import RunStore

    rows = read_rows(source)
    write_rows(rows, file)
    typer.echo(f"{file}: {len(rows)} rows of {rows['run_key'].nunique()} runs")
    store = RunStore(source)
    names = detail or [name for name in store.details() if name not in LISTS]
    for path in write_details(store, file, names):
        typer.echo(str(path))
