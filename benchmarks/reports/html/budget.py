"""Which arm for a budget: the rule behind the page's panel, for one regime, metric and test split.

1. *Money.* Every arm gets what n HF labels and the regime's n_low LF labels cost together, counted in HF labels: only
   the ratio of the two prices matters. An arm that learns from no LF label buys more HF labels instead; one that needs
   the LF label of each HF frame as well buys fewer. Validation labels and training compute are the same for all arms
   and are left out.
2. *Error.* Each run's log error at the sizes that were measured, joined by straight lines against log n and continued
   beyond the first and the last size by a factor `REACH`. An arm that could buy more or fewer HF labels than that is
   judged at the end of the reach.
3. *Verdict* of `mfbench.mfcore.metrics.recommendation` on these errors, which counts draws and groups of test
   structures (their deviations are joined by the same lines). At a measured size with free LF labels it is that of
   the tables.
4. *Abstain* where it does. Errors are taken to fall with n: an arm judged at more labels than it can buy is not named,
   and none is named beside another arm that could buy more than was measured.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mfbench.mfcore.metrics.intervals import Runs, unit_means
from mfbench.mfcore.metrics.recommendation import Recommendation, recommend
from mfbench.mfcore.metrics.structures import StructureErrors, combined

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
        LF labels that it pays for each HF label beside the regime's n_low: 1 for a Δ on labels with disjoint sets, but
        0 where they come with the HF labels, whose calculations start from them.
    n_failed
        Failed runs by HF set size.
    structures
        Deviations of the groups of test structures in these runs by HF set size, as far as they are known.
    untrained
        HF set sizes at which the arm failed to train: its error is no smaller than a constant's.
    """

    curve: Mapping[int, Runs]
    uses_low: bool = True
    low_per_high: float = 0.0
    n_failed: Mapping[int, int] = field(default_factory=dict)
    structures: Mapping[int, StructureErrors] = field(default_factory=dict)
    untrained: frozenset[int] = frozenset()

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
    """Expected errors of the arms at their places, and the verdict on them."""

    errors: Mapping[str, float]
    verdict: Recommendation


class BudgetRule:
    """The rule for some arms; a comparison that several budgets lead to is made once.

    Parameters
    ----------
    arms
        Candidates by name.
    n_low
        LF labels in the budget, at least 0.
    same_frames
        HF set sizes at which the draws have most of their HF frames in common: what is repeated there is the seed.
    """

    def __init__(self, arms: Mapping[str, ArmCurve], *, n_low: float, same_frames: Collection[int] = ()) -> None:
        self.arms = dict(arms)
        self.n_low = n_low
        self.same_frames = frozenset(same_frames)
        self._judged: dict[tuple[tuple[str, tuple[tuple[int, float], ...]], ...], _Judged] = {}

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
        chances = found.verdict.probabilities
        options = [
            Option(o.arm, o.n_high, o.state, found.errors[o.arm], chances.get(o.arm, math.nan))
            if o.arm in places
            else o
            for o in options
        ]
        chance, reason = found.verdict.probability, found.verdict.reason
        if found.verdict.arm is None:
            return _abstain(options, reason[0].upper() + reason[1:], chance)
        best = next(option for option in options if option.arm == found.verdict.arm)
        doubt = self._doubt(best, options)
        return _abstain(options, doubt, chance) if doubt else Choice(best.arm, chance, reason, tuple(options))

    def _doubt(self, best: Option, options: list[Option]) -> str:
        """Say why the arm that is the best where arms are judged is not named; empty if it is."""
        if best.state == "fewer":
            return f"{best.arm} would be best with more HF labels than it can buy; with so few it was not measured."
        unknown = [option.arm for option in options if option.state == "more" and option.arm != best.arm]
        more = f"{best.arm} would be best, but {', '.join(unknown)} could buy more HF labels than were measured."
        return more if unknown else ""

    def _judge(self, places: Mapping[str, _Place]) -> _Judged:
        key = tuple((arm, place.weights) for arm, place in places.items())
        if key not in self._judged:
            self._judged[key] = self._verdict(places)
        return self._judged[key]

    def _verdict(self, places: Mapping[str, _Place]) -> _Judged:
        """Compare arms, each at a place of its curve."""
        errors = {arm: _errors(self.arms[arm].curve, place.weights) for arm, place in places.items()}
        structures = {arm: _structures(self.arms[arm], place.weights) for arm, place in places.items()}
        known = {arm: found for arm, found in structures.items() if found is not None}
        # All arms at one measured size: the comparison, and the samples, of the recommendation.
        weights = {place.weights for place in places.values()}
        measured = len(weights) == 1 and all(len(found) == 1 for found in weights)
        verdict = recommend(
            errors,
            known if len(known) == len(structures) else None,
            n_failed={
                arm: sum(self.arms[arm].n_failed.get(n, 0) for n, _ in place.weights) for arm, place in places.items()
            },
            untrained={arm for arm, p in places.items() if any(n in self.arms[arm].untrained for n, _ in p.weights)},
            repeats="seeds" if {n for p in places.values() for n, _ in p.weights} <= self.same_frames else "draws",
            **({} if measured else {"n_samples": SAMPLES}),
        )
        means = {arm: math.exp(_mean_log(runs)) if runs else math.nan for arm, runs in errors.items()}
        return _Judged(means, verdict)


def _errors(curve: Mapping[int, Runs], weights: tuple[tuple[int, float], ...]) -> Runs:
    """Error of each run that was made at all sizes of a place, joined by a straight line of logarithms."""
    if len(weights) == 1:
        return curve[weights[0][0]]
    common = set.intersection(*(set(curve[n]) for n, _ in weights))
    return {key: math.exp(sum(weight * math.log(curve[n][key]) for n, weight in weights)) for key in sorted(common)}


def _structures(arm: ArmCurve, weights: tuple[tuple[int, float], ...]) -> StructureErrors | None:
    known = [(weight, arm.structures[n]) for n, weight in weights if n in arm.structures]
    try:
        return combined(known) if len(known) == len(weights) else None
    except ValueError:
        return None


def _mean_log(runs: Runs) -> float:
    """Mean log error over draws."""
    means, _ = unit_means({key: math.log(value) for key, value in runs.items()})
    return float(means.mean())


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
