"""Naming an arm, or declining to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mfbench.mfcore.metrics.comparison import best_arms, compare_arms, probability_best
from mfbench.mfcore.metrics.intervals import Runs

THRESHOLD = 0.8
"""Probability of being best below which no arm is named."""


@dataclass(frozen=True)
class Recommendation:
    """The arm to use, or why none is named.

    Attributes
    ----------
    arm
        Its name; None if the evidence does not reach the threshold.
    probability
        That of the most probable arm; NaN where none can be given.
    probabilities
        By arm, the most probable first; only arms that could be compared.
    ties
        Arms that may be the best at 95 % confidence.
    reason
        One sentence.
    n_failed
        Failed runs by arm, where there are any.
    """

    arm: str | None
    probability: float
    probabilities: Mapping[str, float]
    ties: tuple[str, ...]
    reason: str
    n_failed: Mapping[str, int] = field(default_factory=dict)


def recommend(
    errors: Mapping[str, Runs], *, n_failed: Mapping[str, int] | None = None, threshold: float = THRESHOLD
) -> Recommendation:
    """Name the arm with the smallest expected error if its probability of being best reaches `threshold`.

    At least two draws are asked for: seeds of one draw do not tell how the next HF set would turn out. An arm
    with failed runs is compared on those that it finished, but is never named.

    Parameters
    ----------
    errors
        By arm: the error of each finished run by (draw, seed). An arm without a finished run is left out.
    n_failed
        Failed runs by arm.
    threshold
        Smallest probability of being best that is acted on.
    """
    failed = {arm: n for arm, n in (n_failed or {}).items() if n}
    runs = {arm: values for arm, values in errors.items() if values}

    def abstain(reason: str, **known: object) -> Recommendation:
        fields: dict[str, object] = {"probability": float("nan"), "probabilities": {}, "ties": ()}
        return Recommendation(arm=None, reason=reason, n_failed=failed, **{**fields, **known})  # type: ignore[arg-type]

    if len(runs) < 2:
        return abstain("fewer than two arms have a finished run: nothing can be compared.")
    common = set.intersection(*(set(values) for values in runs.values()))
    n_draws = len({draw for draw, _ in common})
    if n_draws < 2:
        return abstain(
            f"all arms finished {len(common)} common run(s) on {n_draws} draw(s): a recommendation needs at "
            "least two draws of the high-fidelity set (and says more with five)."
        )
    comparison = compare_arms(runs)
    probabilities = dict(sorted(probability_best(comparison).items(), key=lambda item: -item[1]))
    ties = best_arms(comparison)
    arm, probability = next(iter(probabilities.items()))
    known = {"probability": probability, "probabilities": probabilities, "ties": ties}
    if probability < threshold:
        return abstain(
            f"no arm reaches a probability of {threshold:.2f} of being best; {arm} comes closest with "
            f"{probability:.2f} over {n_draws} draws.",
            **known,
        )
    if arm in failed:
        return abstain(
            f"{arm} would be best (probability {probability:.2f}), but {failed[arm]} of its runs failed.",
            **known,
        )
    reason = f"{arm} is best with probability {probability:.2f} over {n_draws} draws ({len(common)} runs)."
    return Recommendation(arm, probability, probabilities, ties, reason, failed)
