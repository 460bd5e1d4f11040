"""`mfbench report`, `figures` and `export`: what is computed from stored rows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mfbench.benchmarks.reports import Results

Source = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs, or a file of rows (.csv.gz).")]


class Format(StrEnum):
    """How a report is written."""

    text = "text"
    md = "md"
    csv = "csv"
    json = "json"
    tex = "tex"
    html = "html"


class Look(StrEnum):
    """What figures are for."""

    paper = "paper"
    talk = "talk"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("report", epilog="Example: mfbench report results/runs/quick --format md")(report)
    app.command("figures", epilog="Example: mfbench figures results/runs/standard")(figures)
    app.command("export", epilog="Example: mfbench export results/runs/standard results/mine/rows.csv.gz")(export)


def report(
    source: Source,
    format: Annotated[Format, typer.Option(help="How to write the tables.")] = Format.text,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="terminal; html: report.html")] = None,
) -> None:
    """Print the tables: per task and HF set size, each arm's errors, costs and failures; html: one page with charts."""
    import sys

    from mfbench.mfcore.locks import only_writer_of

    _say_missing(source)
    if format is Format.html:
        import shlex

        from mfbench.benchmarks.reports.html.origin import origin_of
        from mfbench.benchmarks.reports.html.page import page
        from mfbench.mfcore.files import write_text

        path = out or Path("report.html")
        command = shlex.join(["mfbench", "report", str(source), "--format", "html", "--out", str(path)])
        with only_writer_of(path):
            write_text(path, page(_read(source), origin_of(source, command)))
        typer.echo(str(path))
        return

    from mfbench.benchmarks.reports import report as make_report

    styled = out is None and sys.stdout.isatty()
    text = make_report(_read(source), format.value, styled=styled)
    if out is None:
        typer.echo(text)
    else:
        from mfbench.mfcore.files import write_text

        with only_writer_of(out):
            write_text(out, text)
        typer.echo(str(out))


def _say_missing(source: Path) -> None:
    """Say on stderr how many planned runs the tables lack."""
    from mfbench.benchmarks.harness.store import RunStore

    missing = RunStore(source).missing() if source.is_dir() else 0
    if missing:
        typer.echo(
            f"{source}: {missing} planned runs are not stored and missing here; `mfbench run` adds them", err=True
        )


def _read(source: Path) -> Results:
    """Read stored runs, and say which of their arms no package here brings."""
    from mfbench.benchmarks.reports import Results

    results = Results.read(source)
    if results.unknown_arms:
        names = ", ".join(results.unknown_arms)
        typer.echo(f"not installed here: {names}; shown as ordinary arms that learn from LF labels.", err=True)
    return results


def figures(
    source: Source,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the figures.", show_default="figures or figures-talk, beside it")
    ] = None,
    style: Annotated[Look, typer.Option(help="For a paper's columns or for slides.")] = Look.paper,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Draw this kind only (a wrong name lists them); may be given again."),
    ] = None,
    format: Annotated[
        list[str] | None, typer.Option(help="pdf, svg or png; may be given again.", show_default="all")
    ] = None,
) -> None:
    """Draw the figures that stored runs have the data for; says on stderr which it leaves out, and why."""
    from mfbench.benchmarks.reports.figures import FORMATS
    from mfbench.benchmarks.reports.figures import figures as draw

    _say_missing(source)
    name = "figures" if style is Look.paper else f"figures-{style.value}"
    folder = out or (source if source.is_dir() else source.parent) / name
    options = [f" --style {style.value}"] if style is not Look.paper else []
    written = draw(
        _read(source),
        folder,
        formats=format or FORMATS,
        command=f"mfbench figures {source}{''.join(options)}",
        style=style.value,
        only=only or (),
        on_skip=lambda reason: typer.echo(f"left out: {reason}", err=True),
    )
    for path in written:
        typer.echo(str(path))


def export(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs.")],
    file: Annotated[Path, typer.Argument(help="File to write (.csv.gz).")],
    detail: Annotated[
        list[str] | None,
        typer.Option(help="Detail to write beside it; may be repeated.", show_default="all there are but predictions"),
    ] = None,
    predictions_of_draw: Annotated[
        list[int] | None,
        typer.Option(help="Write the predictions of this draw, too (they are large); may be repeated."),
    ] = None,
) -> None:
    """Write the rows of a folder of runs into one small file, and their details beside it, for keeping or sharing."""
    from mfbench.benchmarks.harness.columns import has_lists
    from mfbench.benchmarks.harness.rows_file import read_rows, write_details, write_rows
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.mfcore.locks import only_writer_of

    _say_missing(source)
    rows = read_rows(source)
    store = RunStore(source)
    names = detail or [name for name in store.details() if not has_lists(name)]
    if predictions_of_draw and "predictions" not in names:
        names.append("predictions")
    with only_writer_of(file):
        write_rows(rows, file)
        typer.echo(f"{file}: {len(rows)} rows of {rows['run_key'].nunique()} runs")
        for path in write_details(store, file, names, list_draws=predictions_of_draw or None):
            typer.echo(str(path))
