"""How long work reports where it is; a library function never prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then with a stage's name and how much of its budget is spent."""

    def __call__(self, stage: str, spent: float, budget: float) -> None:
        """Report."""


def silent(stage: str, spent: float, budget: float) -> None:
    """Report nothing."""
