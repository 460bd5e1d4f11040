"""Learning curves of a regime's arms with what intervals over draws and groups of test structures need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.results import Part
from mfbench.benchmarks.reports.rows import size_key
from mfbench.mfcore.metrics.crossed import Crossed, lacking
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.learning_curve import (
    DataEfficiency,
    complete_draws,
    data_efficiency,
    fit_power_law,
    joint,
    of_draws,
)
from mfbench.mfcore.metrics.structures import StructureErrors


class LearningCurves:
    """Errors by HF set size of those arms of a regime that have two sizes or more.

    Parameters
    ----------
    part
        Runs of the regime.
    arms
        Which arms.
    split, metric
        Which error; errors of zero have no logarithm and are left out.

    Attributes
    ----------
    runs
        By arm.
    reasons
        Why numbers that were asked for so far have no interval, each once.
    """

    def __init__(self, part: Part, arms: Iterable[str], split: str, metric: str) -> None:
        self.runs: dict[str, dict[int, Runs]] = {}
        self.reasons: dict[str, None] = {}
        self._same_frames = part.same_frames
        for arm in arms:
            sizes = [int(n) for n in part.sizes_of_arm(arm) if math.isfinite(size_key(n))]
            found = {n: part.of_size(n).positive(arm, split, metric) for n in sizes}
            curve = {n: runs for n, runs in found.items() if runs}
            if len(curve) > 1:
                self.runs[arm] = curve
        self._structures: dict[str, dict[int, StructureErrors]] = {}
        for n in sorted({n for curve in self.runs.values() for n in curve}):
            errors = {arm: curve[n] for arm, curve in self.runs.items() if n in curve}
            for arm, known in (part.of_size(n).structures(errors, split, metric) or {}).items():
                self._structures.setdefault(arm, {})[n] = known

    def lacking(self, *arms: str) -> str:
        """Say why a number that is made of the curves of some arms has no interval; "" if it has one."""
        draws = set.intersection(*(complete_draws(self.runs[arm]) for arm in arms))
        groups = {known.n_groups for arm in arms for known in self._structures.get(arm, {}).values()}
        whole = all(set(self._structures.get(arm, {})) == set(self.runs[arm]) for arm in arms) and len(groups) == 1
        same = any(n in self._same_frames for arm in arms for n in self.runs[arm])
        return lacking(len(draws), groups.pop() if whole else 0, same_frames=same)

    def efficiency(self, reference: str, arm: str, n: int) -> DataEfficiency | None:
        """HF labels that the reference needs for the error that an arm has with n, over n.

        None where no draw has every size. Bounds are NaN where there is no interval, and the reason is kept.
        """
        why = self.lacking(reference, arm) if arm != reference else ""
        groups = None if why or arm == reference else (self._structures[reference], self._structures[arm])
        try:
            found = data_efficiency(self.runs[reference], self.runs[arm], n, LEVEL, groups)
        except ValueError:
            return None
        if not why or found.status != "reached":
            return found
        self.reasons[why] = None
        return replace(found, interval=replace(found.interval, low=math.nan, high=math.nan, over="none"))

    def laws(self, *arms: str) -> Crossed:
        """Intercept and slope of the log errors of some arms, with their spread, where nothing is :meth:`lacking`."""
        draws = set.intersection(*(complete_draws(self.runs[arm]) for arm in arms))
        curves = [of_draws(self.runs[arm], draws) for arm in arms]
        return joint(
            [fit_power_law(curve, LEVEL, self._structures[arm]) for arm, curve in zip(arms, curves, strict=True)]
        )
