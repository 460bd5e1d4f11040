"""`mfbench figures`: the figures of stored runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.plugins import say_plugins
from mfbench.benchmarks.cli.source import Source, read, say_missing
from mfbench.benchmarks.cli.waiting import waiting


class Look(StrEnum):
    """Uses of figures."""

    paper = "paper"
    talk = "talk"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("figures", epilog="Example: mfbench figures results/runs/standard")(figures)


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

    say_plugins()
    say_missing(source)
    name = "figures" if style is Look.paper else f"figures-{style.value}"
    folder = out or (source if source.is_dir() else source.parent) / name
    options = [f" --style {style.value}"] if style is not Look.paper else []
    faults: list[str] = []
    with waiting(f"Drawing the figures of {source}"):
        written = draw(
            read(source),
            folder,
            formats=format or FORMATS,
            command=f"mfbench figures {source}{''.join(options)}",
            style=style.value,
            only=only or (),
            on_skip=lambda reason: say(f"left out: {reason}", err=True),
            on_fault=faults.append,
        )
    for path in written:
        say(str(path))
    for fault in faults:
        say(f"not drawn: {fault}; the fault is in its code.", err=True)
    if faults:
        raise typer.Exit(1)
