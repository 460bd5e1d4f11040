"""Conventions that the command lines of the studies share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

Pythons = Annotated[
    list[str] | None,
    typer.Option("--python", help="Interpreter of the peers (PATH) or of one contender (NAME=PATH); repeatable."),
]
TableOnly = Annotated[bool, typer.Option("--table-only", help="Measure nothing; show the stored results.")]


def console_of(width: int) -> Console:
    """A console; in a file, which has no width, as wide as its tables need."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def chosen(given: Sequence[str] | None, known: Sequence[str], noun: str) -> list[str]:
    """The names that were given, or all that are known.

    Raises
    ------
    typer.BadParameter
        If one is unknown.
    """
    unknown = [name for name in given or [] if name not in known]
    if unknown:
        raise typer.BadParameter(f"no {noun} '{unknown[0]}'; there are {', '.join(known)}")
    return list(given or known)


@contextmanager
def errors_on(console: Console) -> Iterator[None]:
    """End with exit code 2 and one message where a user can act on an error."""
    from mfbench.mfcore.errors import MfbenchError

    try:
        yield
    except MfbenchError as error:
        console.print(f"[red]error:[/red] {error}")
        raise typer.Exit(2) from None


def conclude(console: Console, verdict: tuple[bool | None, str]) -> None:
    """Print the sentence of a verdict; exit code 1 if it is negative."""
    passed, sentence = verdict
    console.print(sentence, highlight=False)
    if passed is False:
        raise typer.Exit(1)


def run(main: Callable[..., Any], description: str | None) -> None:
    """Run a module's command; its docstring is the help."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=(description or "").replace("\\b", "\b"))(main)
    app()
