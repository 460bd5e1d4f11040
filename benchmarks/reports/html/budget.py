"""Which arm for a budget: the rule that the page's panel computes, as a function.

`templates/budget.js` computes the same in the page; a test compares the two. The rule, for one regime and metric:

1. *Money.* Every arm gets what n HF labels and the regime's n_low LF labels cost together. An arm that learns from no
   LF label buys more HF labels instead; one that needs the LF label of each HF frame as well buys fewer. Validation
   labels and training compute are the same for all arms and are left out.
2. *Error.* Each draw's mean log error at the sizes that were measured, joined by straight lines against log n and
   continued beyond the first and the last size by a factor `REACH`. An arm that could buy more or fewer HF labels
   than that is judged at the end of the reach.
3. *Probability* of having the smallest expected error, as in `mfbench.mfcore.metrics.comparison`: paired by draw,
moderated
   Student's t. At a measured size with free LF labels it is what the recommendation says.
4. *Abstain* below `THRESHOLD`, with fewer than two draws, or if the best arm had failed runs. Errors are taken to
   fall with n: an arm judged at more labels than it can buy is not named, and none is named beside another arm that
   could buy more than was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mfbench.mfcore.metrics.comparison import PRIOR_UNITS
from mfbench.mfcore.metrics.intervals import Array, Runs
from mfbench.mfcore.metrics.recommendation import THRESHOLD

REACH = 1.5
"""How far beyond the measured set sizes a learning curve is continued: a factor of n."""

POINTS = 32768
"""Quasi-random samples of the arms' mean log errors."""

State = Literal["judged", "more", "fewer", "none"]


@dataclass(frozen=True)
class ArmCurve:
    """Curve and costs of an arm that the rule judges by.

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
    """Where on a curve: measured sizes and their weights in the mean log error."""

    state: State
    weights: dict[int, float]


def choose(
    arms: Mapping[str, ArmCurve],
    *,
    n_high: float,
    n_low: float,
    high_price: float,
    low_price: float,
    threshold: float = THRESHOLD,
) -> Choice:
    """Name the arm with the smallest expected error for a budget, or none.

    Parameters
    ----------
    arms
        Candidates by name.
    n_high, n_low
        The budget buys so many HF and LF labels, at least 1 and 0.
    high_price, low_price
        Of one label, in any unit that is the same for both; positive, and at least 0.
    threshold
        Smallest probability of being best that is acted on.
    """
    options, places = [], {}
    for arm, known in arms.items():
        n = labels_bought(known, n_high=n_high, n_low=n_low, high_price=high_price, low_price=low_price)
        place = _place(known.curve, n)
        if place is not None:
            places[arm] = place
        options.append(Option(arm, n, place.state if place else "none"))

    def abstain(reason: str, probability: float = math.nan) -> Choice:
        return Choice(None, probability, reason, tuple(options))

    if len(places) < 2:
        return abstain("Fewer than two arms can be judged: nothing can be compared.")
    common = set.intersection(*(set(arms[arm].curve[n]) for arm, place in places.items() for n in place.weights))
    draws = sorted({draw for draw, _ in common})
    if len(draws) < 2:
        return abstain("The arms have fewer than two draws of the HF set in common: no probability can be given.")
    table = np.array(
        [
            [sum(w * _mean_log(arms[arm].curve[n], common, draw) for n, w in place.weights.items()) for draw in draws]
            for arm, place in places.items()
        ]
    )
    shares = dict(zip(places, probabilities(table), strict=True))
    errors = dict(zip(places, np.exp(table.mean(axis=1)), strict=True))
    options = [
        Option(o.arm, o.n_high, o.state, float(errors[o.arm]), float(shares[o.arm])) if o.arm in places else o
        for o in options
    ]
    best = max(options, key=lambda option: -1.0 if math.isnan(option.probability) else option.probability)
    chance = best.probability
    if chance < threshold:
        return abstain(
            f"No arm reaches a probability of {threshold:.2f} of having the smallest error; {best.arm} comes closest "
            f"with {chance:.2f} over {len(draws)} draws.",
            chance,
        )
    if any(arms[best.arm].n_failed.get(n) for n in places[best.arm].weights):
        return abstain(f"{best.arm} would be best (probability {chance:.2f}), but some of its runs failed.", chance)
    if best.state == "fewer":
        return abstain(
            f"{best.arm} would be best with more HF labels than it can buy; with so few it was not measured.", chance
        )
    unknown = [option.arm for option in options if option.state == "more" and option.arm != best.arm]
    if unknown:
        return abstain(
            f"{best.arm} would be best (probability {chance:.2f}), but {', '.join(unknown)} could buy more HF labels "
            "than were measured.",
            chance,
        )
    reason = (
        f"{best.arm} has the smallest expected error with probability {chance:.2f} over {len(draws)} draws "
        f"({len(common)} runs)."
    )
    return Choice(best.arm, chance, reason, tuple(options))


def labels_bought(arm: ArmCurve, *, n_high: float, n_low: float, high_price: float, low_price: float) -> float:
    """Return how many HF labels an arm gets for the price of `n_high` HF and `n_low` LF labels."""
    money = n_high * high_price + (0.0 if arm.uses_low else n_low * low_price)
    return money / (high_price + arm.low_per_high * low_price)


def probabilities(table: Array) -> Array:
    """Return each arm's probability of the smallest expected error, shape (arms,).

    As `mfbench.mfcore.metrics.comparison.probability_best`, with numbers that a page can make alike: the moderated
    covariance is a multiple of the unit matrix plus a product of the interaction with itself, so that independent
    normals give the samples without a decomposition.

    Parameters
    ----------
    table
        Mean log error, shape (arms, draws), at least two of each.
    """
    n_arms, n_units = table.shape
    interaction = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    own = n_units - 1
    borrowed = min(int(PRIOR_UNITS), (n_arms - 2) * own)
    freedom = own + borrowed
    pooled = float(np.square(interaction).sum()) / ((n_arms - 1) * own)
    common = math.sqrt(borrowed * pooled / (freedom * n_units))
    z = normals(n_arms + n_units + freedom)
    noise = common * z[:, :n_arms] + z[:, n_arms : n_arms + n_units] @ interaction.T / math.sqrt(freedom * n_units)
    scale = np.sqrt(np.square(z[:, n_arms + n_units :]).sum(axis=1) / freedom)
    samples = table.mean(axis=1) + noise / scale[:, None]
    is_best = samples <= samples.min(axis=1, keepdims=True) + 1e-12
    shares: Array = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def normals(n: int) -> Array:
    """Return quasi-random standard normals, shape (POINTS, n).

    Richtmyer's sequence (the fractional parts of the multiples of the square roots of primes), which any language
    computes to the last bit, and the Box-Muller transform of its pairs.
    """
    pairs = (n + 1) // 2
    index = np.arange(1, POINTS + 1, dtype=np.float64)[:, None]
    points = index * np.sqrt(np.asarray(_primes(2 * pairs), dtype=np.float64))
    points -= np.floor(points)
    radius = np.sqrt(-2.0 * np.log(points[:, :pairs]))
    angle = 2.0 * math.pi * points[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :n]


def _primes(n: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < n:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _place(curve: Mapping[int, Runs], n: float) -> _Place | None:
    """Find where on a curve n labels are; None if there is no curve or not one label."""
    sizes = sorted(size for size, runs in curve.items() if runs)
    if not sizes or n < 1.0:
        return None
    first, last = sizes[0] / REACH, sizes[-1] * REACH
    state: State = "fewer" if n < first else "more" if n > last else "judged"
    if len(sizes) == 1:
        return _Place(state, {sizes[0]: 1.0})
    at = min(max(n, first), last)
    left = max([i for i, size in enumerate(sizes[:-1]) if size <= at], default=0)
    start, end = sizes[left], sizes[left + 1]
    share = math.log(at / start) / math.log(end / start)
    # At a measured size the other end of the line has no say, nor do its failures.
    if abs(share) < 1e-9:
        return _Place(state, {start: 1.0})
    if abs(share - 1.0) < 1e-9:
        return _Place(state, {end: 1.0})
    return _Place(state, {start: 1.0 - share, end: share})


def _mean_log(runs: Runs, common: set[tuple[int, int]], draw: int) -> float:
    return float(np.mean([math.log(runs[key]) for key in sorted(common) if key[0] == draw]))
