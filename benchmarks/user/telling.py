"""Ways to tell a person what a comparison or a fit is doing: a terminal's or a notebook's; a library never prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from mfbench.mfcore.data.duplicates import Told


def _silent(line: str) -> None:
    """Say nothing."""


def _unseen(words: str) -> AbstractContextManager[Any]:
    return nullcontext()


def _uncounted() -> AbstractContextManager[Told | None]:
    return nullcontext()


@dataclass(frozen=True)
class Telling:
    """Where sentences go, and what is shown while one waits.

    Attributes
    ----------
    say
        Takes a sentence.
    waiting
        Shows some words while its block lasts.
    comparing
        Shows, while its block lasts, how far the comparison of frames with each other is.
    """

    say: Callable[[str], object] = _silent
    waiting: Callable[[str], AbstractContextManager[Any]] = _unseen
    comparing: Callable[[], AbstractContextManager[Told | None]] = _uncounted

    def notes(self, notes: Iterable[str]) -> None:
        """Say how files were read, one sentence a line."""
        for note in notes:
            self.say(f"note: {note}{'' if note.endswith('?') else '.'}")
