"""Intervals of errors over runs and over groups of test frames, where runs have stored their errors by group."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mfbench.mfcore.metrics.bootstrap import hierarchical_interval, hierarchical_ratio_interval
from mfbench.mfcore.metrics.intervals import Array, Interval, Runs, mean_interval
from mfbench.mfcore.metrics.structures import StructureErrors, structure_errors

if TYPE_CHECKING:
    from pandas import DataFrame

LEVEL = 0.95
"""Confidence level of all reports."""

FEWEST_GROUPS = 5
"""With fewer groups (molecules, say) the test frames are no sample of groups: intervals then speak of these alone."""

Groups = dict[str, tuple[float, float]]
"""Error and weight of each group of test frames."""


class Blocks:
    """Errors by group of test frames, from the detail `blocks`.

    Parameters
    ----------
    table
        The detail of the runs of one regime and HF set size; may be empty.
    """

    def __init__(self, table: DataFrame) -> None:
        self._groups: dict[tuple[str, str, str], dict[tuple[int, int], Groups]] = {}
        names = ("arm", "split", "metric", "draw", "seed", "group", "value", "weight")
        for arm, split, metric, draw, seed, group, value, weight in zip(*(table[n] for n in names), strict=True):
            runs = self._groups.setdefault((str(arm), str(split), str(metric)), {})
            runs.setdefault((int(draw), int(seed)), {})[str(group)] = float(value), float(weight)

    def interval(self, runs: Runs, arm: str, split: str, metric: str) -> tuple[Interval, int]:
        """Mean over runs with its interval, and the number of groups that the interval is over.

        Over runs alone (0 groups) where there are no repeats or fewer than `FEWEST_GROUPS` groups, or where groups are
        not stored for all runs, are not the same in all of them, or the draws do not have equally many seeds.

        Parameters
        ----------
        runs
            Error of each finished run by (draw, seed).
        arm, split, metric
            Which error it is.
        """
        plain = mean_interval(runs, LEVEL)
        found = self._groups.get((arm, split, metric), {})
        if plain.n_units < 2 or not set(runs) <= set(found):
            return plain, 0
        arranged = _arranged({run: found[run] for run in sorted(runs)})
        if arranged is None:
            return plain, 0
        values, weights = arranged
        return hierarchical_interval(values, weights, level=LEVEL), len(weights)

    def structures(self, errors: Mapping[str, Runs], split: str, metric: str) -> dict[str, StructureErrors] | None:
        """Deviations of the groups of test frames in the runs of some arms; None where they are not stored for all.

        They have to be the same groups, of the same weights, in every run: the tests do not depend on the draw.

        Parameters
        ----------
        errors
            By arm: error of each finished run by (draw, seed).
        split, metric
            Which error it is.
        """
        found: dict[str, StructureErrors] = {}
        names: list[str] | None = None
        shared: Array | None = None
        for arm, runs in errors.items():
            groups = self._groups.get((arm, split, metric), {})
            values = {}
            for run in runs:
                own = groups.get(run, {})
                if names is None or shared is None:
                    names = sorted(own)
                    shared = np.array([own[name][1] for name in names])
                if not own or sorted(own) != names:
                    return None
                if not np.allclose([own[name][1] for name in names], shared, rtol=1e-6):
                    return None
                values[run] = np.array([own[name][0] for name in names])
            if shared is None:
                return None
            try:
                found[arm] = structure_errors(values, shared)
            except ValueError:  # an error of zero, or one that is not finite
                return None
        return found

    def ratio(
        self, first: str, second: str, runs: Collection[tuple[int, int]], split: str, metric: str, level: float = LEVEL
    ) -> tuple[Interval, int] | None:
        """Ratio of two arms' mean errors, paired by run and group, and the number of groups; None as for `interval`.

        Parameters
        ----------
        first, second
            Arms.
        runs
            The (draw, seed) that both finished.
        split, metric
            Which error it is.
        level
            Confidence level.
        """
        tables = []
        for arm in (first, second):
            found = self._groups.get((arm, split, metric), {})
            arranged = (
                _arranged({run: found[run] for run in sorted(runs)}) if runs and set(runs) <= set(found) else None
            )
            if arranged is None:
                return None
            tables.append(arranged)
        (top, weights), (bottom, others) = tables
        if len({draw for draw, _ in runs}) < 2 or weights.shape != others.shape or not np.allclose(weights, others):
            return None
        return hierarchical_ratio_interval(top, bottom, weights, level=level), len(weights)


def _arranged(runs: dict[tuple[int, int], Groups]) -> tuple[Array, Array] | None:
    """Errors, shape (draws, seeds, groups), and weights, shape (groups,); None if they cannot be arranged so."""
    first = next(iter(runs.values()))
    names = sorted(first)
    weights = np.array([first[name][1] for name in names])
    seeds = set(Counter(draw for draw, _ in runs).values())
    if len(seeds) != 1 or len(names) < FEWEST_GROUPS or not (weights > 0.0).all():
        return None
    for groups in runs.values():
        if sorted(groups) != names or not np.allclose([groups[name][1] for name in names], weights, rtol=1e-6):
            return None
        if not all(math.isfinite(groups[name][0]) for name in names):
            return None
    table = np.array([[groups[name][0] for name in names] for groups in runs.values()])
    return table.reshape(-1, next(iter(seeds)), len(names)), weights
