"""Naming an arm, or declining to.

An arm is named if it is the only one that may be the best (`comparison.best_arms`): every other is worse at p < 0.02
(with three repeats 0.0125), counting the scatter over repeats *and* over groups of test structures. Among equal arms
one is then named in at most 5 % of cases, which a threshold on the probability of being best does not give: of two
equal arms one has a probability above 0.8 in 40 % of cases, by what that probability means. It is information beside
the verdict.

The price: an arm that leads the next one by two standard errors of their difference is named in 19 to 40 % of cases
(six draws, 3 to 30 groups), and no rule with so few false alarms could do it in more than 52 %. (The standard errors of
single arms, which tables give as ±, have in them what all arms share, such as a hard draw: two of those are mostly far
more.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mfbench.mfcore.metrics.comparison import ArmComparison, best_arms, compare_arms, probability_best
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.structures import StructureErrors

FEWEST_REPEATS = 3
"""Draws (or seeds) below which the scatter over repeats is too little known for a probability."""

FEWEST_GROUPS = 3
"""Groups of test structures below which the scatter over them is too little known for a probability."""


@dataclass(frozen=True)
class Recommendation:
    """The arm to use, or why none is named.

    Attributes
    ----------
    arm
        Its name; None if others may be the best as well, or if the evidence allows no verdict.
    probability
        Probability of being best of the most probable arm; NaN where none can be given.
    probabilities
        By arm, the most probable first; empty where none can be given.
    ties
        Arms that may be the best at 95 % confidence; empty where that cannot be told.
    reason
        One sentence.
    n_failed
        Failed runs by arm, where there are any.
    compared
        Arms that could be compared.
    """

    arm: str | None
    probability: float
    probabilities: Mapping[str, float]
    ties: tuple[str, ...]
    reason: str
    n_failed: Mapping[str, int] = field(default_factory=dict)
    compared: tuple[str, ...] = ()


def n_repeats(runs: Runs) -> int:
    """Number of draws that some runs are of."""
    return len({draw for draw, _ in runs})


def comparable(errors: Mapping[str, Runs]) -> dict[str, Runs]:
    """Leave out arms that finished too few repeats to be compared, though others have enough."""
    runs = {arm: values for arm, values in errors.items() if values}
    if max((n_repeats(values) for values in runs.values()), default=0) < FEWEST_REPEATS:
        return runs
    return {arm: values for arm, values in runs.items() if n_repeats(values) >= FEWEST_REPEATS}


def recommend(
    errors: Mapping[str, Runs],
    structures: Mapping[str, StructureErrors] | None = None,
    *,
    n_failed: Mapping[str, int] | None = None,
    untrained: Collection[str] = (),
    repeats: str = "draws",
    n_samples: int = 20_000,
) -> Recommendation:
    """Name the arm with the smallest expected error if no other may be the best.

    At least three draws and three groups of test structures are asked for. An arm with failed runs is compared on
    those that it finished, but is never named.

    Parameters
    ----------
    errors
        By arm: the error of each finished run by (draw, seed). An arm without a finished run is left out.
    structures
        By arm: the deviations of the groups of test structures in these runs; None where they are not known.
    n_failed
        Failed runs by arm.
    untrained
        Arms that failed to train: their error is no smaller than a constant's. They are left out, and named.
    repeats
        Name of the repeats: "draws", or "seeds" where the draws have most of their HF frames in common.
    n_samples
        Number of samples that probabilities are read from.
    """
    failed = {arm: n for arm, n in (n_failed or {}).items() if n}
    trained = {arm: values for arm, values in errors.items() if arm not in untrained}
    runs = comparable(trained)
    n = max((n_repeats(values) for values in runs.values()), default=0)
    remarks = _remarks(errors, trained, runs, untrained)

    def verdict(
        reason: str,
        arm: str | None = None,
        probabilities: Mapping[str, float] | None = None,
        ties: tuple[str, ...] = (),
    ) -> Recommendation:
        known = dict(probabilities or {})
        most = next(iter(known.values()), float("nan"))
        return Recommendation(arm, most, known, ties, " ".join([reason, *remarks]), failed, tuple(runs))

    if len(runs) < 2:
        better = " that is better than a constant" if len(trained) < len(errors) else ""
        return verdict(f"fewer than two arms have a finished run{better}: nothing can be compared.")
    if n < FEWEST_REPEATS:
        return verdict(
            f"the arms have {n} draw{'s' * (n != 1)} of the high-fidelity set: a verdict needs at least "
            f"{FEWEST_REPEATS} (and says more with five)."
        )
    n_groups = min((structures[arm].n_groups for arm in runs), default=0) if structures is not None else 0
    try:
        comparison = compare_arms(runs, structures if n_groups >= FEWEST_GROUPS else None)
    except ValueError:
        return verdict("the arms have no draws in common: they cannot be compared.")
    if structures is None:
        return verdict(
            f"errors by group of test structures are not stored with these runs, so that nothing is known of how other "
            f"test structures would rank the arms. On these, over {n} {repeats}, {_may_be_best(comparison)}."
        )
    if n_groups < FEWEST_GROUPS:
        groups = f"{n_groups} group{'s' * (n_groups != 1)}"
        return verdict(
            f"the test has {groups} of structures, too few to tell how others would rank the arms (at least "
            f"{FEWEST_GROUPS}). On these, over {n} {repeats}, {_may_be_best(comparison)}."
        )
    probabilities = dict(sorted(probability_best(comparison, n_samples=n_samples).items(), key=lambda item: -item[1]))
    ties = best_arms(comparison)  # of one, it is also the most probable
    arm, probability = next(iter(probabilities.items()))
    over = f"over {n} {repeats} and {n_groups} groups of test structures"
    if len(ties) > 1:
        reason = (
            f"{_listed(ties)} may each be the best at 95 % confidence; the most probable is {arm} ({probability:.2f}, "
            f"{over})."
        )
        return verdict(reason, None, probabilities, ties)
    if arm in failed:
        reason = f"{arm} would be best (every other arm is significantly worse), but {failed[arm]} of its runs failed."
        return verdict(reason, None, probabilities, ties)
    reason = (
        f"{arm} is best: every other arm is significantly worse {over} ({sum(map(len, runs.values()))} runs); its "
        f"probability of being best is {probability:.2f}."
    )
    return verdict(reason, arm, probabilities, ties)


def _remarks(
    errors: Mapping[str, Runs], trained: Mapping[str, Runs], runs: Mapping[str, Runs], untrained: Collection[str]
) -> list[str]:
    """Name the arms that are left out, and why."""
    remarks = []
    if found := [arm for arm in errors if arm in untrained]:
        remarks.append(f"Left out, since not better than a constant: {', '.join(found)}.")
    few = [f"{arm} ({n_repeats(values)})" for arm, values in trained.items() if values and arm not in runs]
    if few:
        remarks.append(f"Left out, with fewer than {FEWEST_REPEATS} finished draws: {', '.join(few)}.")
    return remarks


def _may_be_best(comparison: ArmComparison) -> str:
    ties = best_arms(comparison)
    if len(ties) == 1:
        return f"{ties[0]} has the smallest error, and every other arm is significantly worse"
    return f"{_listed(ties)} may each be the best"


def _listed(arms: Collection[str]) -> str:
    *first, last = arms
    return f"{', '.join(first)} and {last}" if first else last
