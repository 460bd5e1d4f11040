"""Words for the time in which a command computes and prints nothing: what it does, and for how long already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def waiting(words: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show some words and the time elapsed while the block lasts; nothing where the output is no terminal.

    Parameters
    ----------
    console
        Where they are shown; None: on stderr, so that stdout has the results alone.

    Yields
    ------
    callable
        Takes other words in their place.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    shown = console or Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=shown,
        transient=True,
    )
    task = bar.add_task(words, total=None)
    if not shown.is_terminal:
        yield lambda words: None
        return
    with bar:
        yield lambda words: bar.update(task, description=words)
