"""Answers of observables of any package to a report: where their code raises, a note takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mfbench.benchmarks.observables.base import DetailTables, Observable, Words
from mfbench.mfcore.errors import MfbenchError, StorageError
from mfbench.mfcore.metrics.intervals import Interval

T = TypeVar("T")

Faults = dict[str, None]
"""Notes on observables whose code raised, each once."""


def own_words(owner: Observable[Any], family: str, details: DetailTables, faults: Faults) -> Words:
    """Columns of words of an observable; none if its code raises."""

    def answer() -> Words:
        return {title: dict(column) for title, column in owner.words(family, details).items()}

    return _asked(owner, "words", answer, faults) or {}


def own_reference(owner: Observable[Any], details: DetailTables, faults: Faults) -> dict[str, float]:
    """Metrics of the HF labels themselves; none if the code of the observable raises."""

    def answer() -> dict[str, float]:
        return {name: float(value) for name, value in owner.reference(details).items()}

    return _asked(owner, "reference", answer, faults) or {}


def own_interval(
    owner: Observable[Any], metric: str, arm: str, details: DetailTables, plain: Interval, faults: Faults
) -> tuple[Interval, int] | None:
    """The interval that an observable gives; None if it gives none, or its code raises."""

    def answer() -> tuple[Interval, int] | None:
        found: Any = owner.interval(metric, arm, details, plain)
        if found is None:
            return None
        interval, n_groups = found
        if not isinstance(interval, Interval):
            raise TypeError(f"gave {type(interval).__name__}, expected an Interval and a number of groups")
        return interval, int(n_groups)

    return _asked(owner, "interval", answer, faults)


def _asked(owner: Observable[Any], method: str, answer: Callable[[], T], faults: Faults) -> T | None:
    try:
        return answer()
    except Exception as error:
        if isinstance(error, MfbenchError) or StorageError.within(error) is not None:
            raise
        why = f"{method}() raised {type(error).__name__}: {error}"
        faults[f"Observable '{owner.name}': {why}; the table is without what it gives."] = None
        return None
