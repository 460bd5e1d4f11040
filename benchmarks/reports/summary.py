"""What a table shows, before it is written in any format: one entry for each arm and quantity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.reports.rows import CEILING, FLOOR, REGIME, Cell, arms_of, cells, cost_runs, counts_of, runs_of
from mfcore.metrics.comparison import best_arms, compare_arms
from mfcore.metrics.intervals import Interval, Runs, mean_interval

if TYPE_CHECKING:
    from pandas import DataFrame

LEVEL = 0.95

SPLITS = {"in_coverage": "in", "out_of_coverage": "out"}
"""Test splits with their short names; others go by their own."""

SCORES = {
    "energy_mae_mev_per_atom": ("E", "meV/atom"),
    "energy_detrended_mae_mev_per_atom": ("E*", "meV/atom"),
    "force_mae_mev_per_A": ("F", "meV/Å"),
    "stress_mae_gpa": ("stress", "GPa"),
}
RETENTION = {
    "low_energy_mae_mev_per_atom": ("LF E", "meV/atom"),
    "low_force_mae_mev_per_A": ("LF F", "meV/Å"),
}
COSTS = {
    "train_atom_gradients": ("train", "Mgrad", 1e-6),
    "train_wall_s": ("train", "s", 1.0),
    "label_cost_cpu_s": ("labels", "CPU-s", 1.0),
    "inference_us_per_atom": ("infer", "µs/atom", 1.0),
    "inference_evaluations": ("infer", "evals", 1.0),
}
ARM_NOTES = {
    CEILING: "the ceiling: it is given every HF label, and is not ranked",
    FLOOR: "the floor: HF labels only set its reference energies",
    "delta_labels": "needs the LF labels of every structure that it predicts; their cost is not in 'infer'",
}


@dataclass(frozen=True)
class Quantity:
    """A column: a metric on a split, or a cost."""

    key: str
    split: str
    title: str
    unit: str
    scale: float = 1.0

    @property
    def is_cost(self) -> bool:
        """Whether it comes from a cost column of the rows, not from a metric."""
        return self.key in COSTS


@dataclass(frozen=True)
class Entry:
    """A cell: mean over runs with its interval; `best` if no other arm is significantly better."""

    interval: Interval
    best: bool = False


@dataclass(frozen=True)
class ArmLine:
    """A line of a table: an arm, its number of runs and how many of them failed."""

    arm: str
    n_runs: int
    n_failed: int


@dataclass(frozen=True)
class Summary:
    """One table."""

    cell: Cell
    lines: tuple[ArmLine, ...]
    scores: tuple[Quantity, ...]
    costs: tuple[Quantity, ...]
    retention: tuple[Quantity, ...]
    entries: dict[tuple[str, Quantity], Entry]

    @property
    def repeated(self) -> bool:
        """Whether any score has an interval."""
        return any(entry.interval.n_units > 1 for (_, quantity), entry in self.entries.items() if not quantity.is_cost)

    @property
    def single_draw(self) -> bool:
        """Whether the intervals are over the seeds of one draw only."""
        return any(entry.interval.over == "seeds" for entry in self.entries.values())

    def notes(self) -> list[str]:
        """Sentences that belong under the table."""
        notes = []
        names = "E, F: MAE of HF energies and forces"
        if any(quantity.title.startswith("E*") for quantity in self.scores):
            names += "; E*: of energies after removing the composition-linear part of their error"
        if any(quantity.split == "out_of_coverage" for quantity in self.scores):
            names += "; in, out: test frames inside and outside what the HF training set covers"
        notes.append(names + ". Mgrad: 10^6 atom-gradient evaluations.")
        if self.repeated:
            over = "the seeds of one draw; other HF sets may rank the arms otherwise" if self.single_draw else "draws"
            notes.append(f"±: half of the 95 % confidence interval over {over}.")
            notes.append("Best arm and its statistical ties (no other arm is significantly better): bold, or *.")
        else:
            notes.append(
                "One run per arm cannot rank the arms: repeat over draws of the HF set (five say much more than two)."
            )
        for line in self.lines:
            if line.n_failed:
                notes.append(f"{line.arm}: {line.n_failed} of {line.n_runs} runs failed; they are in no mean.")
        notes += [f"{line.arm}: {ARM_NOTES[line.arm]}." for line in self.lines if line.arm in ARM_NOTES]
        return notes


def summaries(rows: DataFrame) -> list[Summary]:
    """Make the tables: one for each task, regime and HF set size.

    Raises
    ------
    ConfigError
        If `rows` lacks a column.
    """
    return [_summary(cell) for cell in cells(rows)]


def tidy(tables: Iterable[Summary]) -> list[dict[str, Any]]:
    """Write tables as records, one for each arm and quantity; numbers are not rounded."""
    records: list[dict[str, Any]] = []
    ceilings: set[tuple[str, ...]] = set()
    for table in tables:
        for line in table.lines:
            if line.arm == CEILING:
                place = tuple(table.cell.regime.values())
                if place in ceilings:
                    continue  # it stands in the table of every set size, and is one result
                ceilings.add(place)
            for quantity in (*table.scores, *table.costs, *table.retention):
                entry = table.entries.get((line.arm, quantity))
                if entry is None:
                    continue
                interval = entry.interval
                records.append(
                    {name: table.cell.regime[name] for name in REGIME}
                    | {
                        "n_high": _own_size(table.cell, line.arm),
                        "arm": line.arm,
                        "quantity": quantity.key,
                        "split": quantity.split,
                        "unit": "atom gradients" if quantity.key == "train_atom_gradients" else quantity.unit,
                        "estimate": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                        "level": interval.level,
                        "interval_over": interval.over,
                        "best_or_tied": entry.best,
                        "n_runs": line.n_runs,
                        "n_failed": line.n_failed,
                    }
                )
    return records


def _own_size(cell: Cell, arm: str) -> str:
    return str(cell.rows.loc[cell.rows["arm"] == arm, "n_high"].iloc[0])


def _summary(cell: Cell) -> Summary:
    rows = cell.rows
    arms = arms_of(rows)
    splits = _splits(rows)
    scores = _quantities(rows, SCORES, splits)
    retention = _quantities(rows, RETENTION, splits)
    costs = tuple(Quantity(key, "", title, unit, scale) for key, (title, unit, scale) in COSTS.items() if key in rows)
    entries: dict[tuple[str, Quantity], Entry] = {}
    for quantity in (*scores, *retention):
        runs = {arm: runs_of(rows, arm, quantity.split, quantity.key) for arm in arms}
        best = best_of({arm: values for arm, values in runs.items() if arm != CEILING})
        for arm, values in runs.items():
            if values:
                entries[arm, quantity] = Entry(mean_interval(values, LEVEL), arm in best)
    for quantity in costs:
        for arm in arms:
            if values := cost_runs(rows, arm, quantity.key):
                entries[arm, quantity] = Entry(mean_interval(values, LEVEL))
    lines = tuple(ArmLine(arm, *counts_of(rows, arm)) for arm in arms)
    return Summary(cell, lines, scores, costs, retention, entries)


def best_of(runs: dict[str, Runs]) -> tuple[str, ...]:
    """Give the best arm and its ties, if the runs can tell: they need repeats that all arms have, and errors."""
    finished = {arm: values for arm, values in runs.items() if values}
    if len(finished) < 2 or any(value <= 0.0 for values in finished.values() for value in values.values()):
        return ()
    common = set.intersection(*(set(values) for values in finished.values()))
    return best_arms(compare_arms(finished), LEVEL) if len(common) > 1 else ()


def _splits(rows: DataFrame) -> list[str]:
    present = {str(split) for split in rows["split"] if split}
    return [name for name in SPLITS if name in present] + sorted(present - set(SPLITS))


def _quantities(rows: DataFrame, names: dict[str, tuple[str, str]], splits: list[str]) -> tuple[Quantity, ...]:
    measured = set(zip(rows["metric"], rows["split"], strict=True))
    return tuple(
        Quantity(metric, split, f"{title} {SPLITS.get(split, split)}" if len(splits) > 1 else title, unit)
        for metric, (title, unit) in names.items()
        for split in splits
        if (metric, split) in measured
    )
