"""Table of the arms while their runs are computed: how many are done, their errors so far, and what is computed now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.numbers import MISSING, number
from mfbench.benchmarks.reports.results import CRITERIA, SPLITS
from mfbench.benchmarks.tasks.base import Regime
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.text import one_line

if TYPE_CHECKING:
    from pandas import DataFrame

    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.harness.prepare import PlannedRun

Score = tuple[str, str]
"""Names of a metric and a test split."""

_ALWAYS = ("n_low", "n_high", "labels")
"""Axes that each table's title has."""
_USUAL = {name: str(found.default) for name, found in Regime.model_fields.items()}
_USUAL |= {"core": DEFAULT, "budget": "default"}
"""Values of the other axes that no title says."""


@dataclass
class _Arm:
    """Runs of an arm in one table: keys of all, of those done and of those failed, and finished runs' errors."""

    runs: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    errors: dict[Score, list[float]] = field(default_factory=dict)


class ArmsTable:
    """The table of those runs of a plan that are being computed: of their task, HF set size, core and budget.

    Parameters
    ----------
    planned
        All runs of the plan.
    todo
        Those of them that are to be computed; the others are done.
    rows_of
        Gives the rows of a stored run by its key. Those of runs that were stored before are read when their table is
        shown for the first time.
    """

    def __init__(
        self, planned: Sequence[PlannedRun], todo: Sequence[PlannedRun], rows_of: Callable[[str], DataFrame]
    ) -> None:
        self._rows_of = rows_of
        self._tables: dict[str, dict[str, _Arm]] = {}
        self._unread = {run.key for run in planned} - {run.key for run in todo}
        for run in planned:
            self._tables.setdefault(_title(run.spec), {}).setdefault(run.spec.arm, _Arm()).runs.append(run.key)
        self._active: dict[str, float] = {}
        self._shown = ""

    def started(self, run: PlannedRun) -> None:
        """Show the table that a run stands in."""
        self._active[run.key] = 0.0
        self._shown = _title(run.spec)
        for arm in self._tables[self._shown].values():
            for key in self._unread.intersection(arm.runs):
                self._unread.discard(key)
                self._count(arm, key)

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        """Note how much of its budget a run has spent."""
        self._active[run.key] = min(atom_gradients / run.spec.budget, 1.0)

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        """Count a run, and its errors if it finished."""
        self._active.pop(run.key, None)
        arm = self._tables[_title(run.spec)][run.spec.arm]
        if reason is None:
            self._count(arm, run.key)
        else:
            arm.done.add(run.key)
            arm.failed.add(run.key)

    def _count(self, arm: _Arm, key: str) -> None:
        arm.done.add(key)
        try:
            rows = self._rows_of(key)
        except DataError:  # a stored run that is damaged: what reads it for its result says so
            return
        if (rows["status"] != "finished").any():
            arm.failed.add(key)
            return
        for metric, split, value in zip(rows["metric"], rows["split"], rows["value"], strict=True):
            if metric in CRITERIA:
                arm.errors.setdefault((str(metric), str(split)), []).append(float(value))

    def __rich__(self) -> Group:
        """The table as it is now; one without lines where nothing is computed."""
        arms = self._tables.get(self._shown, {})
        scores = sorted({score for arm in arms.values() for score in arm.errors}, key=_place)
        made = Table(box=None)
        made.add_column("arm", no_wrap=True)
        made.add_column("runs", justify="right", no_wrap=True)
        for metric, split in scores:
            found = metric_of(metric)
            title, unit = (found.title, found.unit) if found else (metric, "")
            made.add_column(Text(one_line(f"{title} {SPLITS.get(split, split)}") + f"\n{unit}"), justify="right")
        made.add_column("now", no_wrap=True)
        for name, arm in arms.items():
            means = [number(fmean(values)) if (values := arm.errors.get(score)) else MISSING for score in scores]
            made.add_row(Text(one_line(name)), _runs(arm), *means, self._now(arm))
        return Group(Text(one_line(self._shown), overflow="ellipsis", no_wrap=True), made)

    def _now(self, arm: _Arm) -> str:
        shares = [f"{100 * self._active[key]:.0f} %" for key in arm.runs if key in self._active]
        return f"computing: {', '.join(shares)}" if shares else ""


def _runs(arm: _Arm) -> str:
    text = f"{len(arm.done)}/{len(arm.runs)}"
    return f"{text}, {len(arm.failed)} failed" if arm.failed else text


def _title(spec: RunSpec) -> str:
    """Name the table of a run: what all its arms share."""
    regime = spec.regime
    own = {name: str(value) for name, value in regime.model_dump(exclude=set(_ALWAYS)).items()}
    own |= {"core": spec.core_name, "budget": spec.budget_name}
    axes = "".join(f", {name} {value}" for name, value in own.items() if value != _USUAL[name])
    return f"{spec.task}: n_low = {regime.n_low}, n_high = {spec.n_high}, {regime.labels}{axes}; mean errors so far"


def _place(score: Score) -> tuple[int, int, str]:
    metric, split = score
    known = list(SPLITS)
    return CRITERIA.index(metric), known.index(split) if split in known else len(known), split
