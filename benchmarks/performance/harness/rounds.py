"""Rounds in which all have their turns, so that a busy spell of the machine hits all of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, TypeVar

T = TypeVar("T")


def turns(names: Sequence[T], number: int) -> list[T]:
    """Order of the turns in a round: A B C in even rounds, C B A in odd ones."""
    return list(names) if number % 2 == 0 else list(reversed(names))


class Ratio(NamedTuple):
    """Ratios taken within each round: their median, and the smallest and largest."""

    median: float
    smallest: float
    largest: float

    def as_dict(self) -> dict[str, float]:
        """As plain JSON values."""
        return {"ratio": self.median, "ratio_min": self.smallest, "ratio_max": self.largest}


def ratio_of(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Ratios of two series, round by round.

    Raises
    ------
    ValueError
        If they differ in length or are empty.
    """
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(float(median(ratios)), min(ratios), max(ratios))
