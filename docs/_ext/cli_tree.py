"""The commands of mfbench and their options, as typer has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from mfbench.benchmarks.cli.main import app


def commands() -> dict[str, Any]:
    """Return the commands by their words, such as "data inspect"; "" is the program itself."""
    return dict(_walk(typer.main.get_command(app), ()))


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner or not words:
        yield " ".join(words), command
    for name, found in inner.items():
        yield from _walk(found, (*words, name))


def options_of(command: Any) -> set[str]:
    """Return the names of the options of a command."""
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts) if name.startswith("-")} | {"--help"}
