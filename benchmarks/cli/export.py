"""`mfbench export`: the rows of a folder of runs in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.plugins import say_plugins
from mfbench.benchmarks.cli.source import say_missing
from mfbench.benchmarks.cli.waiting import waiting


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("export", epilog="Example: mfbench export results/runs/standard results/mine/rows.csv.gz")(export)


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
    from mfbench.benchmarks.harness.details import detail_path
    from mfbench.benchmarks.harness.rows_file import read_rows, write_details, write_rows
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.mfcore.files import sweep
    from mfbench.mfcore.locks import only_writer_of

    say_plugins()
    say_missing(source)
    with waiting(f"Reading {source}"):
        rows = read_rows(source)
    store = RunStore(source)
    names = detail or [name for name in store.details() if not has_lists(name)]
    if predictions_of_draw and "predictions" not in names:
        names.append("predictions")
    with only_writer_of(file):
        for name in store.details():
            sweep(detail_path(file, name))
        write_rows(rows, file)
        say(f"{file}: {len(rows)} rows of {rows['run_key'].nunique()} runs")
        for path in write_details(store, file, names, list_draws=predictions_of_draw or None):
            say(str(path))
