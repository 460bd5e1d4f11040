"""Scores of a potential: rows, and tables beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """Scores that observables give a potential.

    Attributes
    ----------
    rows
        One metric each: split, metric (unit in its name), unit, value, and n, the number it is over.
    details
        Named tables beside the rows, see :mod:`mfbench.benchmarks.harness.details`.
    """

    rows: list[dict[str, Any]]
    details: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def and_also(self, other: Evaluation) -> Evaluation:
        """Both together."""
        return Evaluation(self.rows + other.rows, self.details | other.details)


def metric_row(split: str, metric: str, unit: str, value: float, n: int) -> dict[str, Any]:
    """Give a row of an :class:`Evaluation`."""
    return {"split": split, "metric": metric, "unit": unit, "value": float(value), "n": n}
