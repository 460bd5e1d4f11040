"""Best arm of one quantity and its statistical ties, which tables mark."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mfbench.benchmarks.observables.declarations import Better
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.mfcore.metrics.comparison import best_arms, compare_arms
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.structures import StructureErrors


def best_of(
    runs: dict[str, Runs], better: Better = "lower", structures: Mapping[str, StructureErrors] | None = None
) -> tuple[str, ...]:
    """Give the best arm and its ties, if the runs can tell: they need repeats in common, and a direction.

    Errors are compared as ratios; what is better when higher or nearer zero (fractions, times, signed drifts) has
    zeros and signs and is compared by differences.

    Parameters
    ----------
    runs
        By arm: value of each finished run by (draw, seed).
    better
        Direction.
    structures
        By arm: deviations of the groups of test frames in these runs, of errors; None where they are not known.
    """
    finished = {arm: values for arm, values in runs.items() if values}
    if len(finished) < 2 or not better or len({run for values in finished.values() for run in values}) < 2:
        return ()
    if better == "lower" and all(value > 0.0 for values in finished.values() for value in values.values()):
        return _best(finished, structures)
    sign = -1.0 if better == "higher" else 1.0
    ranked = {
        arm: {key: sign * (abs(value) if better == "nearer zero" else value) for key, value in values.items()}
        for arm, values in finished.items()
    }
    scale = max(abs(value) for values in ranked.values() for value in values.values())
    if scale == 0.0:
        return ()  # all alike, and nothing to mark
    # The comparison takes logarithms: of these exponentials they are the values, in units of the largest.
    return _best({arm: {key: math.exp(v / scale) for key, v in values.items()} for arm, values in ranked.items()})


def _best(runs: Mapping[str, Runs], structures: Mapping[str, StructureErrors] | None = None) -> tuple[str, ...]:
    try:
        return best_arms(compare_arms(runs, structures), LEVEL)
    except ValueError:  # no (draw, seed) in common
        return ()
