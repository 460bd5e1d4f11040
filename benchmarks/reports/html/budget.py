"""Which arm for a budget: the rule behind the page's panel, for one regime, metric and test split.

1. *Money.* Every arm gets what n HF labels and the regime's n_low LF labels cost together, counted in HF labels: only
   the ratio of the two prices matters. An arm that learns from no LF label buys more HF labels instead; one that needs
   the LF label of each HF frame as well buys fewer. Validation labels and training compute are the same for all arms
   and are left out.
2. *Error.* Each run's log error at the sizes that were measured, joined by straight lines against log n and continued
   beyond the first and the last size by a factor `REACH`. An arm that could buy more or fewer HF labels than that is
   judged at the end of the reach.
3. *Probability* of having the smallest expected error, from `mfbench.mfcore.metrics.comparison`. At a measured size
   with free LF labels it is the recommendation's.
4. *Abstain* below `THRESHOLD`, with fewer than two draws, or if the best arm had failed runs. Errors are taken to
   fall with n: an arm judged at more labels than it can buy is not named, and none is named beside another arm that
   could buy more than was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mfbench.mfcore.metrics.comparison import ArmComparison, compare_means, log_means, probability_best
from mfbench.mfcore.metrics.intervals import Array, Runs, Unit
from mfbench.mfcore.metrics.recommendation import THRESHOLD

REACH = 1.5
"""How far beyond the measured set sizes a learning curve is continued: a factor of n."""

SAMPLES = 4_000
"""Samples of a probability between measured sizes, for a standard error below 0.01: a page has thousands of them."""

_Weights = tuple[tuple[int, float], ...]
"""Measured sizes, ascending, and their weights in a log error."""

State = Literal["judged", "more", "fewer", "none"]

REMARKS: dict[State, str] = {
    "judged": "",
    "more": "could buy more than was measured: judged at the end of its reach",
    "fewer": "can buy fewer than were measured: judged at the end of its reach",
    "none": "cannot be judged",
}
"""Each state in words."""


@dataclass(frozen=True)
class ArmCurve:
    """An arm's measured errors and its needs of labels.

    Attributes
    ----------
    curve
        Error of each finished run by HF set size, then by (draw, seed).
    uses_low
        Whether it learns from LF labels, and so has to pay for them.
    low_per_high
        LF labels that it pays for each HF label beside the regime's n_low: 1 for a Δ on labels with disjoint sets.
    n_failed
        Failed runs by HF set size.
    """

    curve: Mapping[int, Runs]
    uses_low: bool = True
    low_per_high: int = 0
    n_failed: Mapping[int, int] = field(default_factory=dict)

    def cost(self, n_high: float, n_low: float, ratio: float) -> float:
        """Price of its labels with so many HF labels, in HF labels; `ratio` is the price of one LF label."""
        return n_high * (1.0 + self.low_per_high * ratio) + (n_low * ratio if self.uses_low else 0.0)

    def bought(self, n_high: float, n_low: float, ratio: float) -> float:
        """HF labels that it gets for the price of `n_high` HF and `n_low` LF labels."""
        money = n_high + (0.0 if self.uses_low else n_low * ratio)
        return money / (1.0 + self.low_per_high * ratio)


@dataclass(frozen=True)
class Option:
    """An arm under the budget.

    Attributes
    ----------
    n_high
        HF labels that it can buy.
    state
        "judged" at that number; "more" or "fewer": it can buy more or fewer than the reach, and is judged at the
        end of it; "none": it cannot be judged.
    error, probability
        Expected error (geometric mean over draws) and probability of the smallest one; NaN where not judged.
    """

    arm: str
    n_high: float
    state: State
    error: float = math.nan
    probability: float = math.nan


@dataclass(frozen=True)
class Choice:
    """The arm to use with a budget, or None; `reason` says why in a sentence."""

    arm: str | None
    probability: float
    reason: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class _Place:
    """A point on a curve."""

    state: State
    weights: _Weights


@dataclass(frozen=True)
class _Judged:
    """Expected errors and probabilities of the arms at their places; none with fewer than two common draws."""

    n_draws: int
    n_runs: int
    errors: Mapping[str, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)


class BudgetRule:
    """The rule for some arms; a comparison that several budgets lead to is made once.

    Parameters
    ----------
    arms
        Candidates by name.
    n_low
        LF labels in the budget, at least 0.
    threshold
        Smallest probability of being best that is acted on.
    """

    def __init__(self, arms: Mapping[str, ArmCurve], *, n_low: float, threshold: float = THRESHOLD) -> None:
        self.arms = dict(arms)
        self.n_low = n_low
        self.threshold = threshold
        self._judged: dict[tuple[tuple[str, _Weights], ...], _Judged] = {}
        self._means: dict[tuple[str, _Weights, frozenset[tuple[int, int]]], tuple[Array, Unit]] = {}

    def choose(self, n_high: float, ratio: float) -> Choice:
        """Name the arm with the smallest expected error for a budget, or none.

        Parameters
        ----------
        n_high
            HF labels in the budget, at least 1.
        ratio
            Price of one LF label over that of one HF label, at least 0.
        """
        options, places = [], {}
        for arm, known in self.arms.items():
            n = known.bought(n_high, self.n_low, ratio)
            place = _place(known.curve, n)
            if place is not None:
                places[arm] = place
            options.append(Option(arm, n, place.state if place else "none"))
        if len(places) < 2:
            return _abstain(options, "Fewer than two arms can be judged: nothing can be compared.")
        found = self._judge(places)
        if found.n_draws < 2:
            return _abstain(
                options, "The arms have fewer than two draws of the HF set in common: no probability can be given."
            )
        options = [
            Option(o.arm, o.n_high, o.state, found.errors[o.arm], found.probabilities[o.arm]) if o.arm in places else o
            for o in options
        ]
        best = max((option for option in options if option.arm in places), key=lambda option: option.probability)
        chance = best.probability
        if chance < self.threshold:
            reason = (
                f"No arm reaches a probability of {self.threshold:.2f} of having the smallest error; {best.arm} comes "
                f"closest with {chance:.2f} over {found.n_draws} draws."
            )
            return _abstain(options, reason, chance)
        doubt = self._doubt(best, options, places[best.arm])
        if doubt:
            return _abstain(options, doubt, chance)
        reason = (
            f"{best.arm} has the smallest expected error with probability {chance:.2f} over {found.n_draws} draws "
            f"({found.n_runs} runs)."
        )
        return Choice(best.arm, chance, reason, tuple(options))

    def _doubt(self, best: Option, options: list[Option], place: _Place) -> str:
        """Say why the arm that is most probably the best is not named; empty if it is."""
        would = f"{best.arm} would be best (probability {best.probability:.2f}), but"
        if any(self.arms[best.arm].n_failed.get(n) for n, _ in place.weights):
            return f"{would} some of its runs failed."
        if best.state == "fewer":
            return f"{best.arm} would be best with more HF labels than it can buy; with so few it was not measured."
        unknown = [option.arm for option in options if option.state == "more" and option.arm != best.arm]
        return f"{would} {', '.join(unknown)} could buy more HF labels than were measured." if unknown else ""

    def _judge(self, places: Mapping[str, _Place]) -> _Judged:
        key = tuple((arm, place.weights) for arm, place in places.items())
        if key not in self._judged:
            self._judged[key] = self._compare({arm: place.weights for arm, place in places.items()})
        return self._judged[key]

    def _compare(self, places: Mapping[str, _Weights]) -> _Judged:
        """Compare arms, each at a place of its curve, over the runs that all of them finished."""
        runs = (set(self.arms[arm].curve[n]) for arm, weights in places.items() for n, _ in weights)
        common = frozenset(set.intersection(*runs))
        n_draws = len({draw for draw, _ in common})
        if n_draws < 2:
            return _Judged(n_draws, len(common))
        means = {arm: self._means_of(arm, weights, common) for arm, weights in places.items()}
        return _judged(compare_means(means, n_runs=len(common)), list(places.values()), n_draws)

    def _means_of(self, arm: str, weights: _Weights, common: frozenset[tuple[int, int]]) -> tuple[Array, Unit]:
        key = (arm, weights, common)
        if key not in self._means:
            self._means[key] = log_means(_errors(self.arms[arm].curve, weights, common))
        return self._means[key]


def _judged(comparison: ArmComparison, places: Sequence[_Weights], n_draws: int) -> _Judged:
    # All arms at one measured size: the comparison, and the samples, of the recommendation.
    measured = len(set(places)) == 1 and all(len(weights) == 1 for weights in places)
    chances = probability_best(comparison) if measured else probability_best(comparison, n_samples=SAMPLES)
    errors = {arm: math.exp(log) for arm, log in zip(comparison.arms, comparison.centre, strict=True)}
    return _Judged(n_draws, comparison.n_runs, errors, chances)


def _errors(curve: Mapping[int, Runs], weights: _Weights, common: frozenset[tuple[int, int]]) -> Runs:
    if len(weights) == 1:
        runs = curve[weights[0][0]]
        return {key: runs[key] for key in common}
    return {key: math.exp(sum(weight * math.log(curve[n][key]) for n, weight in weights)) for key in common}


def _abstain(options: list[Option], reason: str, probability: float = math.nan) -> Choice:
    return Choice(None, probability, reason, tuple(options))


def _place(curve: Mapping[int, Runs], n: float) -> _Place | None:
    """Find where on a curve n labels are; None if there is no curve or not one label."""
    sizes = sorted(size for size, runs in curve.items() if runs)
    if not sizes or n < 1.0:
        return None
    first, last = sizes[0] / REACH, sizes[-1] * REACH
    state: State = "fewer" if n < first else "more" if n > last else "judged"
    if len(sizes) == 1:
        return _Place(state, ((sizes[0], 1.0),))
    at = min(max(n, first), last)
    left = max([i for i, size in enumerate(sizes[:-1]) if size <= at], default=0)
    start, end = sizes[left], sizes[left + 1]
    share = math.log(at / start) / math.log(end / start)
    # At a measured size the other end of the line has no say, nor do its failures.
    if abs(share) < 1e-9:
        return _Place(state, ((start, 1.0),))
    if abs(share - 1.0) < 1e-9:
        return _Place(state, ((end, 1.0),))
    return _Place(state, ((start, 1.0 - share), (end, share)))
