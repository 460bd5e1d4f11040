"""Training compute as an axis: what more of it changes, and whether the networks are trained enough for a verdict."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mfbench.benchmarks.reports.arms import ceilings
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.numbers import MISSING, number
from mfbench.benchmarks.reports.results import Cell, Results
from mfbench.benchmarks.reports.rows import REGIME, budget_key, budget_words
from mfbench.mfcore.metrics.crossed import crossed, lacking
from mfbench.mfcore.metrics.intervals import Interval, Runs, unit_means
from mfbench.mfcore.metrics.structures import StructureErrors, combined, unit_deviations

ENOUGH = 0.1
"""Relative change of the ceiling's and the best arm's error below which networks count as trained enough."""


@dataclass(frozen=True)
class Change:
    """Relative change of an arm's error from one budget to a larger one, over the runs that both have.

    Attributes
    ----------
    arm
        Its name.
    role
        "ceiling" or "best arm".
    interval
        Geometric mean of error ratios, less one: −0.2 is a fifth less. Over draws and groups of test frames; bounds are
        NaN where it cannot be had.
    no_interval
        Why it cannot; "" if it can.
    """

    arm: str
    role: str
    interval: Interval
    no_interval: str = ""

    @property
    def small(self) -> bool:
        """Say whether it is below the bound."""
        return abs(self.interval.estimate) < ENOUGH

    @property
    def large(self) -> bool:
        """Say whether it is beyond the bound, and its interval with it, where there is one."""
        low, high = self.interval.low, self.interval.high
        return not self.small and (math.isnan(low) or low >= ENOUGH or high <= -ENOUGH)


@dataclass(frozen=True)
class MoreTraining:
    """Two budgets of a regime and HF set size, one next to the other, and the changes between them."""

    budget: str
    larger: str
    changes: tuple[Change, ...]

    @property
    def factor(self) -> float:
        """Ratio of the budgets."""
        return budget_key(self.larger) / budget_key(self.budget)

    @property
    def enough(self) -> bool:
        """Say whether the smaller budget was enough: twice of it or more, and small changes all over."""
        return self.factor >= 2.0 and bool(self.changes) and all(change.small for change in self.changes)

    @property
    def answer(self) -> str:
        """Say "yes", "no", or that it cannot be told: by budgets that are too close, or intervals that are too wide."""
        if self.factor < 2.0:
            return "cannot be told"
        if self.enough:
            return "yes"
        return "no" if any(change.large for change in self.changes) else "cannot be told"


def series(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Tables that differ in the budget alone, by budget; those without one of their kind are left out."""
    found: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if math.isfinite(budget_key(cell.regime["budget"])):
            found[*(cell.regime[name] for name in REGIME if name != "budget"), cell.n_high].append(cell)
    several = [sorted(group, key=lambda cell: budget_key(cell.regime["budget"])) for group in found.values()]
    return [group for group in several if len(group) > 1]


def relative_change(
    before: Runs, after: Runs, structures: tuple[StructureErrors, StructureErrors] | None = None
) -> Interval | None:
    """Geometric mean of the ratios of errors, run by run, less one; None where no run is in both.

    Parameters
    ----------
    before, after
        Error of each finished run by (draw, seed).
    structures
        Deviations of the groups of test frames in these runs; None: the interval is over draws alone.
    """
    common = [key for key, value in before.items() if key in after and min(value, after[key]) > 0.0]
    logs = {key: math.log(after[key] / before[key]) for key in sorted(common)}
    if not logs:
        return None
    means, over = unit_means(logs)
    groups, freedom = None, 0.0
    if structures is not None:
        difference = combined([(1.0, structures[1]), (-1.0, structures[0])])
        groups, freedom = unit_deviations(difference, logs)[None], structures[0].degrees_of_freedom
    low, high = crossed(means[None], groups, freedom).interval(np.ones(1), LEVEL)
    estimate, low, high = (math.expm1(x) for x in (float(means.mean()), low, high))
    return Interval(estimate, low, high, LEVEL, len(logs), len(means), over)


def best_arm(cell: Cell) -> str | None:
    """The candidate with the lowest mean error on the split and by the metric of the verdict."""
    errors = {arm: runs for arm in cell.candidates if (runs := cell.positive(arm, cell.split, cell.metric))}
    return min(errors, key=lambda arm: sum(map(math.log, errors[arm].values())) / len(errors[arm]), default=None)


def more_training(smaller: Cell, larger: Cell) -> MoreTraining:
    """The changes from one budget to the next, of the ceilings and of the arm that is best at the smaller one."""
    chosen: list[tuple[str, str]] = [(arm, "ceiling") for arm in ceilings(smaller.arms)]
    if (best := best_arm(smaller)) is not None:
        chosen.append((best, "best arm"))
    changes = []
    for arm, role in chosen:
        if (change := _change(arm, role, smaller, larger)) is not None:
            changes.append(change)
    return MoreTraining(smaller.regime["budget"], larger.regime["budget"], tuple(changes))


def _change(arm: str, role: str, smaller: Cell, larger: Cell) -> Change | None:
    """Compare the runs of an arm at two budgets; a ceiling has all HF labels, of which there are no other draws."""
    split, metric = smaller.split, smaller.metric
    before, after = (cell.positive(arm, split, metric) for cell in (smaller, larger))
    common = set(before) & set(after)
    known = [
        cell.structures({arm: {key: runs[key] for key in common}}, split, metric)
        for cell, runs in ((smaller, before), (larger, after))
    ]
    first, second = (found[arm] if found and common else None for found in known)
    both = (first, second) if first and second and first.n_groups == second.n_groups else None
    same = role != "ceiling" and smaller.overlap.over == "seeds"
    draws = len({draw for draw, _ in common})
    why = lacking(draws, both[0].n_groups if both else 0, same_frames=same)
    found = relative_change(before, after, None if why else both)
    if found is None:
        return None
    interval = replace(found, low=math.nan, high=math.nan, over="none") if why else found
    return Change(arm, role, interval, why)


def trained_enough(results: Results) -> Mapping[int, str]:
    """Sentences on whether a table's networks are trained enough, by the table's number among `results.cells`."""
    numbers = {id(cell): index for index, cell in enumerate(results.cells)}
    found: dict[int, str] = {}
    for group in series(results.cells):
        for smaller, larger in pairwise(group):
            found[numbers[id(smaller)]] = sentence(more_training(smaller, larger))
        before, last = group[-2:]
        changes = more_training(before, last).changes
        so_far = f"; from {_words(before)} to it the error of {_listed(changes)}" if changes else ""
        so_far += f" ({_over(changes)})" if changes else ""
        found[numbers[id(last)]] = f"Trained enough? This is the largest budget: more was not tried{so_far}."
    return found


def sentence(found: MoreTraining) -> str:
    """Say what more training changes, and what follows by the bound."""
    if not found.changes:
        return "Trained enough? No run of the ceiling or of the best arm is there at this budget and the next one."
    bound = f"changes below {100 * ENOUGH:.0f} % are asked for, at twice the training compute or more"
    return (
        f"Trained enough? At {found.factor:.3g} times the training compute the error of {_listed(found.changes)}: "
        f"{found.answer} ({bound}; {_over(found.changes)})."
    )


def _words(cell: Cell) -> str:
    return budget_words(cell.regime["budget"])


def _listed(changes: Sequence[Change]) -> str:
    return " and that of ".join(f"{change.arm} (the {change.role}) changes by {_percent(change)}" for change in changes)


def _over(changes: Sequence[Change]) -> str:
    """Say what the intervals are over, or why there are none."""
    reasons = dict.fromkeys(change.no_interval for change in changes if change.no_interval)
    words = ["95 % intervals over draws and groups of test frames"] if any(not c.no_interval for c in changes) else []
    words += [f"[{MISSING}]: no interval, since {', or '.join(reasons)}"] if reasons else []
    return "; ".join(words)


def _percent(change: Change) -> str:
    interval = change.interval
    text = f"{signed(interval.estimate)} %"
    if math.isnan(interval.low):
        return f"{text} [{MISSING}]"
    return f"{text} [{signed(interval.low)}, {signed(interval.high)}]"


def signed(share: float) -> str:
    """Write a share in per cent, with its sign and no unit."""
    value = 100.0 * share
    return f"{'−' if value < 0 else '+'}{number(abs(value), 2)}"
