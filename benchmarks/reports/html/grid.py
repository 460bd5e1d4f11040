"""The budget panel's answers at every position of its sliders, as tables that the page's script looks up.

A table is a list over the HF labels in the budget, then over price ratios; a line that is the same at all ratios is
written as its one value, and so is a table of equal lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.html.budget import REMARKS, ArmCurve, BudgetRule, Choice
from mfbench.benchmarks.reports.html.values import finite
from mfbench.benchmarks.reports.prices import Prices, label_prices, low_per_high
from mfbench.benchmarks.reports.results import Part
from mfbench.benchmarks.reports.rows import size_key
from mfbench.benchmarks.reports.starting_points import uses_low
from mfbench.mfcore.metrics.structures import StructureErrors

POSITIONS = 16
"""Positions of the slider of HF labels, about: the measured sizes are among them."""

RATIOS = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Positions of the slider of the price ratio, LF over HF; a measured ratio is one more."""

ASSUMED = 1e-3
"""Price ratio that the panel begins with where none was measured."""

STATES = tuple(REMARKS)


class Grid:
    """Budgets of one regime's panel: numbers of HF labels and price ratios, and the labels that arms buy with them.

    Parameters
    ----------
    part
        Runs of the regime.
    n_low
        LF labels in the budget; None if nobody says how many "all" are: they are free then.
    """

    def __init__(self, part: Part, n_low: int | None) -> None:
        self.part = part
        self.n_low = n_low
        self.measured = label_prices(part)
        self.prices = _known(self.measured)
        self.sizes = slider_sizes(part.sizes)
        self.ratios, self.start = _ratios(self.prices) if n_low is not None else ([0.0], 0)

    def payload(self) -> dict[str, Any]:
        """Collect what all metrics of the regime share: positions, labels bought, and costs in HF labels."""
        needs = {arm: _needs(self.part, arm, self.measured) for arm in self.part.arms}
        n_low = self.n_low or 0
        every = ArmCurve({})  # it buys all that the budget holds
        return {
            "sizes": self.sizes,
            "ratios": self.ratios,
            "start": [_nearest(self.sizes, self.part.sizes), self.start],
            "nLow": self.n_low,
            "prices": self.prices,
            "needsLow": any(not traits(arm).self_contained for arm in self.part.candidates),
            "worth": collapsed([[_short(every.cost(n, n_low, r)) for r in self.ratios] for n in self.sizes]),
            "bought": {
                arm: collapsed(
                    [[_whole(needs[arm].bought(n, n_low, ratio)) for ratio in self.ratios] for n in self.sizes]
                )
                for arm in self.part.candidates
            },
            "costs": {
                arm: {
                    size: collapsed([[_short(needs[arm].cost(int(size), n_low, ratio)) for ratio in self.ratios]])
                    for size in self.part.sizes_of_arm(arm)
                    if math.isfinite(size_key(size))
                }
                for arm in self.part.arms
            },
        }

    def series(self, metric: str, split: str, reasons: Reasons) -> dict[str, Any]:
        """Answer every budget by one metric on one split, among all arms and among the self-contained ones."""
        curves = arm_curves(self.part, metric, split, self.measured)
        alone = {arm: curve for arm, curve in curves.items() if traits(arm).self_contained}
        found = {"all": self._answers(curves, reasons)}
        if len(alone) < len(curves):
            found["alone"] = self._answers(alone, reasons)
        return found

    def _answers(self, curves: Mapping[str, ArmCurve], reasons: Reasons) -> dict[str, Any]:
        rule = BudgetRule(curves, n_low=self.n_low or 0, same_frames=self.part.same_frames)
        choices = [[rule.choose(n, ratio) for ratio in self.ratios] for n in self.sizes]

        def by_arm(name: str) -> dict[str, Any]:
            return {
                arm: collapsed([[_value(choice, at, name) for choice in line] for line in choices])
                for at, arm in enumerate(curves)
            }

        return {
            "reason": collapsed([[reasons.index(choice) for choice in line] for line in choices]),
            "state": by_arm("state"),
            "error": by_arm("error"),
            "probability": by_arm("probability"),
        }


class Reasons:
    """Reasons of all answers of a page, each once: arm or None, its probability, the sentence."""

    def __init__(self) -> None:
        self._places: dict[tuple[str | None, float | None, str], int] = {}

    def index(self, choice: Choice) -> int:
        """Place of a choice's reason in the table."""
        reason = (choice.arm, finite(choice.probability, decimals=2), choice.reason)
        return self._places.setdefault(reason, len(self._places))

    def payload(self) -> list[list[str | float | None]]:
        """Give the table."""
        return [list(reason) for reason in self._places]


def arm_curves(part: Part, metric: str, split: str, prices: Prices | None = None) -> dict[str, ArmCurve]:
    """Read what the budget rule needs of each arm but the ceiling, from the runs of one regime."""
    found = {}
    known = _structures(part, metric, split)
    untrained = {n: part.of_size(n).untrained(split, metric) for n in part.sizes}
    for arm in part.candidates:
        sizes = [int(n) for n in part.sizes_of_arm(arm) if math.isfinite(size_key(n))]
        curve = {n: part.of_size(n).positive(arm, split, metric) for n in sizes}
        failed = {n: part.of_size(n).counts(arm)[1] for n in sizes}
        needs = _needs(part, arm, prices)
        found[arm] = ArmCurve(
            curve,
            needs.uses_low,
            needs.low_per_high,
            {n: k for n, k in failed.items() if k},
            {n: known[n][arm] for n in sizes if arm in known[n]},
            frozenset(n for n in sizes if arm in untrained[n]),
        )
    return found


def _structures(part: Part, metric: str, split: str) -> dict[int, dict[str, StructureErrors]]:
    """Errors by group of test frames, by HF set size and arm, where every run of all candidates has them."""
    found = {}
    for n in part.sizes:
        errors = {arm: part.of_size(n).positive(arm, split, metric) for arm in part.candidates}
        found[n] = part.of_size(n).structures({arm: runs for arm, runs in errors.items() if runs}, split, metric) or {}
    return found


def slider_sizes(sizes: Sequence[int]) -> list[int]:
    """Positions of the slider of HF labels: the measured sizes and numbers spread evenly in log n between them."""
    if not sizes:
        return []
    between = np.exp(np.linspace(math.log(sizes[0]), math.log(sizes[-1]), max(POSITIONS - len(sizes) + 2, 2)))
    return sorted({*sizes, *(round(float(n)) for n in between)})


def collapsed(table: list[list[Any]]) -> Any:
    """Write a line of equal values as the value, and a table of equal such lines as it."""
    lines = [line[0] if all(value == line[0] for value in line) else line for line in table]
    equal = lines and not isinstance(lines[0], list) and all(line == lines[0] for line in lines)
    return lines[0] if equal else lines


def _ratios(prices: Mapping[str, float] | None) -> tuple[list[float], int]:
    """Positions of the slider of the price ratio, and the one to begin with."""
    start = float(f"{prices['low'] / prices['high']:.3g}") if prices else ASSUMED
    ratios = sorted({*RATIOS, start})
    return ratios, ratios.index(start)


def _known(prices: Prices) -> dict[str, float] | None:
    """Measured prices of one label in CPU-s, where both are known."""
    if not (math.isfinite(prices.low) and prices.high > 0.0):
        return None
    return {"high": prices.high, "low": max(prices.low, 0.0)}


def _needs(part: Part, arm: str, prices: Prices | None) -> ArmCurve:
    return ArmCurve({}, uses_low(part, arm), low_per_high(part, arm, prices))


def _nearest(sizes: Sequence[int], measured: Sequence[int]) -> int:
    """Place of the middle one of the measured sizes."""
    return list(sizes).index(measured[(len(measured) - 1) // 2]) if measured else 0


def _value(choice: Choice, at: int, name: str) -> float | None:
    option = choice.options[at]
    if name == "state":
        return STATES.index(option.state)
    return finite(option.error, 3) if name == "error" else finite(option.probability, decimals=2)


def _whole(n: float) -> int:
    """Whole labels; a number that rounding left just below one is that one."""
    return math.floor(n + 1e-9)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
