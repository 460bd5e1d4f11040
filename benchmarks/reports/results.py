"""Stored runs as reports read them: long rows, grouped once into regimes and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.columns import with_every_axis, with_rules
from mfbench.benchmarks.harness.frames_used import DETAIL as FRAMES
from mfbench.benchmarks.observables.registry import declaring
from mfbench.benchmarks.reports.arms import ceilings, in_order, not_installed, traits
from mfbench.benchmarks.reports.blocks import Blocks
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.names import in_one_line
from mfbench.benchmarks.reports.overlap import Overlap, overlap_of
from mfbench.benchmarks.reports.rows import ALL, NEEDED, REGIME, budget_key, regime_title, size_key, told_apart
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.recommendation import Recommendation, recommend
from mfbench.mfcore.metrics.structures import StructureErrors

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CRITERIA = ("force_mae_mev_per_A", "energy_mae_mev_per_atom")
"""Metrics that arms are compared by: forces where the HF test frames have them, else energies."""

SPLITS = {"in_coverage": "in domain", "out_of_coverage": "out of domain"}
"""Test splits with their short names, the harder one last; others go by their own."""


class Part:
    """Runs that are looked at together: those of a task, of a regime, or of one table.

    Values are by (draw, seed) of the run. Where the runs have several HF set sizes, ask the parts of :meth:`of_size`.

    Parameters
    ----------
    rows
        Long rows of these runs, as `mfbench run` stores them.
    details
        Tables that the runs store beside rows.
    regime
        What the runs share, by the names of `REGIME`; empty if they do not.
    """

    def __init__(self, rows: DataFrame, details: Details, regime: Mapping[str, str] | None = None) -> None:
        self.rows = rows
        self.details = details
        self.regime = dict(regime or {})
        self._sizes: dict[str, Part] = {}
        self._details: dict[str, DataFrame] = {}

    @cached_property
    def arms(self) -> list[str]:
        """Arms in the order of tables."""
        return in_order(str(arm) for arm in self.rows["arm"].unique())

    @cached_property
    def candidates(self) -> list[str]:
        """Arms but the ceilings."""
        return [arm for arm in self.arms if not traits(arm).is_ceiling]

    @cached_property
    def without_ceilings(self) -> DataFrame:
        """Rows of the candidates."""
        return self.rows[~self.rows["arm"].isin(ceilings(self.arms))]

    @cached_property
    def measured(self) -> set[tuple[str, str]]:
        """Pairs of metric and test split that rows have."""
        pairs = self.rows[["metric", "split"]].drop_duplicates()
        return set(zip(pairs["metric"].astype(str), pairs["split"].astype(str), strict=True))

    def splits_of(self, metric: str) -> list[str]:
        """Test splits that a metric was scored on, in their order."""
        present = {split for name, split in self.measured if name == metric and split}
        return [name for name in SPLITS if name in present] + sorted(present - set(SPLITS))

    @cached_property
    def metric(self) -> str:
        """The metric that arms are compared by if none is named."""
        names = {metric for metric, _ in self.measured}
        return next((name for name in CRITERIA if name in names), CRITERIA[-1])

    @cached_property
    def split(self) -> str:
        """The test split that arms are compared on if none is named: the hardest there is."""
        names = {split for _, split in self.measured}
        known = [name for name in SPLITS if name in names]
        return known[-1] if known else next((str(split) for split in self.rows["split"] if split), next(iter(SPLITS)))

    def runs(self, arm: str, split: str, metric: str) -> Runs:
        """Value of each finished run of an arm; a value that is not finite counts as a failure."""
        return self._scores.get((arm, split, metric), {})

    def positive(self, arm: str, split: str, metric: str) -> Runs:
        """Value of each finished run that has a logarithm."""
        return {key: value for key, value in self.runs(arm, split, metric).items() if value > 0.0}

    def costs(self, arm: str, column: str) -> Runs:
        """Value of a cost column of each finished run of an arm, where it is known."""
        if column not in self.rows:
            return {}
        chosen = self.by_run[(self.by_run["arm"] == arm) & (self.by_run["status"] == "finished")]
        return {
            (int(draw), int(seed)): float(value)
            for draw, seed, value in zip(chosen["draw"], chosen["seed"], chosen[column], strict=True)
            if math.isfinite(value)
        }

    def baseline(self, name: str, split: str, metric: str) -> float:
        """Error of an answer without training (`BASELINES`), mean over draws; NaN where no run stored it.

        It is the same for all arms of a draw, whatever they learn from.
        """
        rows = self.without_ceilings
        chosen = rows[(rows["metric"] == f"{name}_{metric}") & (rows["split"] == split)]
        return float(chosen.groupby("draw")["value"].first().mean()) if len(chosen) else math.nan

    def untrained(self, split: str, metric: str) -> list[str]:
        """Arms that failed to train: their error, geometric mean over runs, is not below the constant predictor's."""
        constant = self.baseline("constant", split, metric)
        if not constant > 0.0:
            return []
        found = []
        for arm in self.arms:
            values = list(self.positive(arm, split, metric).values())
            if values and sum(map(math.log, values)) / len(values) >= math.log(constant):
                found.append(arm)
        return found

    def counts(self, arm: str) -> tuple[int, int]:
        """Numbers of an arm's runs and of those that failed, be it that they scored NaN or infinity."""
        own = self.by_run[self.by_run["arm"] == arm]
        return len(own), int(own["run_key"].isin(self.broken).sum())

    @cached_property
    def by_run(self) -> DataFrame:
        """The first row of each run."""
        return self.rows.drop_duplicates("run_key")

    @cached_property
    def broken(self) -> set[str]:
        """Keys of the runs that failed, or that scored no finite number."""
        failed = (self.rows["status"] != "finished") | ~self.rows["value"].map(math.isfinite)
        return {str(key) for key in self.rows.loc[failed, "run_key"].unique()}

    def partly_failed(self, arm: str) -> int:
        """Number of an arm's runs in which an observable failed, but not all did."""
        own = self.rows[self.rows["arm"] == arm]
        failed = own["status"] != "finished"
        return len({*own.loc[failed, "run_key"]} & {*own.loc[~failed, "run_key"]})

    def detail(self, name: str) -> DataFrame:
        """Lines of a detail of these runs; empty, with its columns, where no run has it."""
        if name not in self._details:
            self._details[name] = self.details.table(name, self.rows)
        return self._details[name]

    @cached_property
    def blocks(self) -> Blocks:
        """Errors by group of test frames of these runs."""
        return Blocks(self.detail("blocks"))

    def structures(self, errors: Mapping[str, Runs], split: str, metric: str) -> dict[str, StructureErrors] | None:
        """Errors of some arms by group of test frames; None where they are not stored for every run.

        Where the runs have several HF set sizes, ask the parts of :meth:`of_size`.
        """
        return self.blocks.structures(errors, split, metric)

    @cached_property
    def overlap(self) -> Overlap:
        """Overlap of the draws of the candidates; ask the parts of :meth:`of_size` where there are several sizes."""
        keys = set(self.without_ceilings["run_key"].astype(str))
        frames = self.detail(FRAMES)
        return overlap_of(frames[frames["run_key"].astype(str).isin(keys)])

    def over(self, unit: str) -> str:
        """Name what repeats of runs are over, "draws" by their numbers: "seeds" where draws are the same frames."""
        return self.overlap.over if unit == "draws" else unit

    @cached_property
    def same_frames(self) -> frozenset[int]:
        """HF set sizes at which all draws have the same HF frames, or nearly."""
        return frozenset(n for n in self.sizes if self.of_size(n).overlap.over == "seeds")

    @cached_property
    def size_names(self) -> list[str]:
        """HF set sizes of the candidates, or of the ceilings where there are no others, ascending; "all" is last."""
        rows = self.without_ceilings if self.candidates else self.rows
        return sorted({str(n) for n in rows["n_high"].unique()}, key=size_key)

    @cached_property
    def sizes(self) -> list[int]:
        """HF set sizes of the arms that have a curve, ascending; without "all", whose number rows do not have."""
        names = self.size_names if self.candidates else []
        return [int(n) for n in names if math.isfinite(size_key(n))]

    @cached_property
    def places(self) -> dict[str, float]:
        """Place of each HF set size of the arms that have a curve on a logarithmic axis, ascending.

        Rows do not say how many "all" are: it stands beyond the others, at half of the last distance.
        """
        places = {str(n): float(n) for n in self.sizes}
        if self.candidates and ALL in self.size_names:
            first, last = ([1, 4] if len(self.sizes) < 2 else self.sizes)[-2:]
            places[ALL] = (self.sizes[-1] if self.sizes else 1) * math.sqrt(last / first)
        return places

    def of_size(self, n: int | str) -> Part:
        """The runs of one HF set size; made once."""
        name = str(n)
        if name not in self._sizes:
            self._sizes[name] = Part(self.rows[self._size_column == name], self.details, self.regime)
        return self._sizes[name]

    def of_metric(self, metric: str, *, positive: bool = False) -> Part:
        """The rows of one metric; only those above zero, which a logarithmic axis can show, if so asked."""
        chosen = self.rows["metric"] == metric
        return Part(self.rows[chosen & (self.rows["value"] > 0.0) if positive else chosen], self.details, self.regime)

    def of_runs(self, keys: Iterable[str]) -> Part:
        """Some of the runs, by their keys."""
        return Part(self.rows[self.rows["run_key"].isin(set(keys))], self.details, self.regime)

    def sizes_of_arm(self, arm: str) -> list[str]:
        """HF set sizes of one arm, ascending."""
        return sorted({str(n) for n in self.by_run.loc[self.by_run["arm"] == arm, "n_high"]}, key=size_key)

    @cached_property
    def _size_column(self) -> Series:
        return self.rows["n_high"].astype(str)

    @cached_property
    def _scores(self) -> dict[tuple[str, str, str], dict[tuple[int, int], float]]:
        found: dict[tuple[str, str, str], dict[tuple[int, int], float]] = {}
        columns = ("arm", "split", "metric", "draw", "seed", "value", "status")
        for arm, split, metric, draw, seed, value, status in zip(*(self.rows[c] for c in columns), strict=True):
            if status == "finished" and math.isfinite(value):
                found.setdefault((str(arm), str(split), str(metric)), {})[int(draw), int(seed)] = float(value)
        return found


class Cell(Part):
    """One table: a regime and an HF set size, with its rows and those of the ceilings of the same regime."""

    def __init__(self, rows: DataFrame, details: Details, regime: Mapping[str, str], n_high: str) -> None:
        super().__init__(rows, details, regime)
        self.n_high = n_high
        self._recommendations: dict[tuple[str, str, bool], Recommendation] = {}

    @property
    def own_test(self) -> bool:
        """Say whether the split that arms are compared on is a file of test frames of the user's own."""
        return self.split not in SPLITS

    @property
    def title(self) -> str:
        """Regime in one line."""
        return regime_title(self.regime, self.n_high)

    def recommendation(
        self, metric: str | None = None, split: str | None = None, self_contained: bool = False
    ) -> Recommendation:
        """Name the arm to use, or say why none can be named; computed once.

        Parameters
        ----------
        metric
            Smaller is better; default: the first of `CRITERIA` that was measured.
        split
            Test split; default: out of coverage where there is one, which is the harder half.
        self_contained
            Leave out arms that need LF calculations to predict, which dynamics can seldom afford.
        """
        asked = metric or self.metric, split or self.split, self_contained
        if asked not in self._recommendations:
            arms = [arm for arm in self.candidates if traits(arm).self_contained or not self_contained]
            errors = {arm: self.runs(arm, asked[1], asked[0]) for arm in arms}
            self._recommendations[asked] = recommend(
                errors,
                self.structures({arm: runs for arm, runs in errors.items() if runs}, asked[1], asked[0]),
                n_failed={arm: self.counts(arm)[1] for arm in arms},
                untrained=self.untrained(asked[1], asked[0]),
                repeats=self.overlap.over,
            )
        return self._recommendations[asked]


class Results(Part):
    """All runs of a report.

    Parameters
    ----------
    rows
        Long rows, as `mfbench run` stores them.
    details
        Tables that the runs store beside rows; without it, only rows are known.

    Raises
    ------
    ConfigError
        If `rows` lacks a column.
    """

    def __init__(self, rows: DataFrame, details: Details | None = None) -> None:
        rows = told_apart(with_rules(with_every_axis(rows)))
        missing = [name for name in NEEDED if name not in rows.columns]
        if missing:
            raise ConfigError(f"rows: no column {', '.join(missing)}; expected the rows that `mfbench run` stores.")
        super().__init__(in_one_line(rows), details or Details())

    @classmethod
    def read(cls, source: Path) -> Results:
        """Read a folder of runs, or a file of rows with the details beside it.

        Raises
        ------
        DataError
            If there are no runs, or they cannot be read.
        """
        from mfbench.benchmarks.harness.rows_file import read_rows

        return cls(read_rows(source), Details(source))

    @cached_property
    def regimes(self) -> list[Part]:
        """Regimes (all but the HF set size) in the order of their names, and of budgets by their size."""
        groups = self.rows.groupby(list(REGIME), sort=True, dropna=False)
        parts = [
            Part(part, self.details, dict(zip(REGIME, (str(value) for value in values), strict=True)))
            for values, part in groups
        ]
        place = REGIME.index("budget")  # the last: what is sorted here are groups of neighbours
        several = [
            list(group) for _, group in groupby(parts, lambda part: [part.regime[name] for name in REGIME[:place]])
        ]
        return [part for group in several for part in sorted(group, key=lambda part: _by_budget(part.regime))]

    @cached_property
    def cells(self) -> list[Cell]:
        """Tables: each regime, its HF set sizes ascending; the ceilings stand in each of them."""
        found = []
        for part in self.regimes:
            alone = part.rows["arm"].isin(ceilings(part.arms))
            sizes = part.rows["n_high"].astype(str)
            found += [
                Cell(part.rows[(sizes == size) | alone], self.details, part.regime, size) for size in part.size_names
            ]
        return found

    def cells_of(self, regime: Mapping[str, str]) -> list[Cell]:
        """Tables of one regime."""
        return [cell for cell in self.cells if cell.regime == regime]

    @cached_property
    def tasks(self) -> dict[str, Part]:
        """Runs of each task, by its name."""
        names = self.rows["task"].astype(str)
        return {name: Part(self.rows[names == name], self.details) for name in sorted(set(names))}

    @cached_property
    def varying(self) -> list[str]:
        """Names of `REGIME` in which these runs differ."""
        return [key for key in REGIME if len({part.regime[key] for part in self.regimes}) > 1]

    @property
    def cores(self) -> list[str]:
        """Cores that the runs have, as rows name them."""
        return sorted({part.regime["core"] for part in self.regimes})

    @property
    def unknown_arms(self) -> list[str]:
        """Arms that no package here brings: reports take them as candidates that learn from LF labels."""
        return not_installed(self.arms)

    @property
    def unknown_metrics(self) -> list[str]:
        """Metrics that no observable here declares, at the target fidelity or a lower one: no table has them."""
        names = sorted({name for name, _ in self.measured if name})
        return [name for name in names if not any(declaring(end) for end in _ends(name))]


def _by_budget(regime: Mapping[str, str]) -> float:
    known = budget_key(regime["budget"])
    return known if math.isfinite(known) else 0.0


def _ends(metric: str) -> list[str]:
    """A metric's name, and what may be its name at the target: at a lower fidelity, that one's name goes before."""
    parts = metric.split("_")
    return ["_".join(parts[start:]) for start in range(len(parts))]
