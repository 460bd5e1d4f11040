"""Intervals of break-even points, by a parametric bootstrap of the learning curves that they are made of.

A break-even point is where the costs of two arms at equal error cross. That error is the reference's with all of its HF
labels, and the labels that each arm needs for it are read from power laws. These are sampled together, over draws and
groups of test structures (see `mfbench.mfcore.metrics.crossed`); prices and the costs of a training are taken as known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.curves import LearningCurves
from mfbench.mfcore.metrics.economics import Range, crossing, crossing_interval
from mfbench.mfcore.metrics.intervals import Array

Line = Callable[[str, Array], tuple[Array, Array]]
"""Intercepts and slopes of an arm's cost, from its name and the HF labels that it needs, one a sample."""

BOUND = "an arm has the error with fewer HF labels than its smallest set, and the break-even point is a bound"


def with_intervals(
    ranges: Sequence[Range],
    line: Line,
    curves: LearningCurves,
    reference: str,
    statuses: Mapping[str, str],
    reasons: dict[str, None],
) -> tuple[Range, ...]:
    """Give the ends of ranges their intervals; where there is none, the reason is added to `reasons`.

    Parameters
    ----------
    ranges
        The cheapest arms, one after the other.
    line
        Cost of an arm.
    curves
        Learning curves of all arms.
    reference
        The arm whose error with all of its HF labels is to be had.
    statuses
        By arm, whether the error is "reached" within its set sizes.
    reasons
        Of numbers without an interval.
    """
    found = []
    for first, second in pairwise(ranges):
        arms = (first.arm, second.arm)
        why = curves.lacking(reference, *arms)
        if not why and any(statuses[arm] != "reached" for arm in arms):
            why = BOUND
        if why:
            reasons[why] = None
            found.append(first)
            continue
        needed = _labels_needed(curves, reference, arms)
        low, high = crossing_interval(crossing(*(line(arm, needed[arm]) for arm in arms)), LEVEL)
        found.append(replace(first, low=low, high=high))
    return (*found, *ranges[-1:])


def _labels_needed(curves: LearningCurves, reference: str, arms: Sequence[str]) -> dict[str, Array]:
    """HF labels that arms need for the reference's error with all of its labels, one a sample; infinite: never.

    The laws go on beyond the set sizes here: bounds that were cut off at them would be too near.
    """
    most = max(curves.runs[reference])
    names = list(dict.fromkeys((reference, *arms)))
    samples = curves.laws(*names).samples()
    intercept, slope = ({arm: samples[:, 2 * i + k] for i, arm in enumerate(names)} for k in (0, 1))
    target = intercept[reference] + slope[reference] * math.log(most)
    needed = {}
    for arm in arms:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            labels = np.exp((target - intercept[arm]) / slope[arm])
        needed[arm] = np.where(slope[arm] < 0.0, labels, np.inf) if arm != reference else np.full(len(target), most)
    return needed
