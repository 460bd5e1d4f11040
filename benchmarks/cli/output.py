"""Output of commands: one place where text from files is kept from steering the terminal."""

from __future__ import annotations

import typer

from mfbench.mfcore.text import printable


def say(text: str, *, err: bool = False) -> None:
    """Print text that may have names from files; signs that steer a terminal are written as escapes."""
    typer.echo(printable(text, keep="\n\t"), err=err)
