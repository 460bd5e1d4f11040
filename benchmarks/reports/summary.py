"""Content of a table, before it is written in any format: one entry for each arm and quantity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mfbench.benchmarks.observables.declarations import BASELINES, ERRORS, RETENTION
from mfbench.benchmarks.observables.declarations import Section as Declared
from mfbench.benchmarks.observables.registry import declaring, observables
from mfbench.benchmarks.reports.answers import own_interval, own_reference, own_words
from mfbench.benchmarks.reports.arms import ceilings, left_out, traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.budgets import trained_enough
from mfbench.benchmarks.reports.metrics import metric_of, of_family, report_sections
from mfbench.benchmarks.reports.numbers import number
from mfbench.benchmarks.reports.ranking import best_of
from mfbench.benchmarks.reports.results import SPLITS, Cell, Results
from mfbench.benchmarks.reports.rows import REGIME
from mfbench.benchmarks.reports.starting_points import paid_by_others
from mfbench.mfcore.metrics.intervals import Interval, mean_interval
from mfbench.mfcore.metrics.recommendation import comparable

COSTS = {
    "train_atom_gradients": ("train", "10⁶ atom gradients", 1e-6),
    "train_steps": ("train", "steps", 1.0),
    "train_wall_s": ("train", "s", 1.0),
    "train_cpu_s": ("train", "CPU-s", 1.0),
    "label_cost_cpu_s": ("labels", "CPU-s", 1.0),
    "trial_atom_gradients": ("tuning", "10⁶ atom gradients", 1e-6),
    "inference_us_per_atom": ("inference", "µs/atom", 1.0),
    "inference_evaluations": ("networks", "", 1.0),
}

HF_REFERENCE = "HF reference"
"""Name of the line of what the HF labels themselves have."""

PARTIAL = "from some of the finished runs only"
"""In notes that count runs of arms; names of arms follow."""


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
        """Say whether the quantity comes from a cost column of the rows, not from a metric."""
        return self.key in COSTS


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Attributes
    ----------
    interval
        Mean over runs with its interval.
    best
        Whether no other arm is significantly better.
    n_groups
        Groups of test frames that the interval is over, beside runs; 0 if it is over runs alone. Of a mean survival
        time of a single run, the starting frames that it is over.
    """

    interval: Interval
    best: bool = False
    n_groups: int = 0


@dataclass(frozen=True)
class ArmLine:
    """A line of a table: an arm, its number of runs and how many of them failed."""

    arm: str
    n_runs: int
    n_failed: int


@dataclass(frozen=True)
class Section:
    """A table below the one of errors.

    Attributes
    ----------
    declared
        Family of its metrics, title and notes, as the observable declares them.
    quantities
        Columns of numbers.
    words
        Columns of words, by their title and then by arm.
    reference
        What the HF labels themselves have, of those quantities that they can have.
    """

    declared: Declared
    quantities: tuple[Quantity, ...]
    words: dict[str, dict[str, str]]
    reference: dict[Quantity, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Subject of the table."""
        return self.declared.title

    @property
    def family(self) -> str:
        """Family of its metrics."""
        return self.declared.family


@dataclass(frozen=True)
class Summary:
    """One table of errors and costs, with the tables that belong to it."""

    cell: Cell
    lines: tuple[ArmLine, ...]
    scores: tuple[Quantity, ...]
    costs: tuple[Quantity, ...]
    retention: tuple[Quantity, ...]
    entries: dict[tuple[str, Quantity], Entry]
    sections: tuple[Section, ...] = ()
    baselines: dict[str, dict[Quantity, float]] = field(default_factory=dict)
    all_arms: tuple[str, ...] = ()
    trained: str = ""
    faults: tuple[str, ...] = ()

    @property
    def repeated(self) -> bool:
        """Say whether any score has an interval."""
        return any(entry.interval.n_units > 1 for (_, quantity), entry in self.entries.items() if not quantity.is_cost)

    @property
    def single_draw(self) -> bool:
        """Say whether the intervals are over the seeds of one draw only."""
        return any(entry.interval.over == "seeds" for entry in self.entries.values())

    def notes(self) -> list[str]:
        """Sentences that belong under the table."""
        notes = []
        names = "E, F: MAE of HF energies and forces"
        if any("detrended" in quantity.title for quantity in self.scores):
            names += (
                "; detrended: without the composition-linear part of the errors of energies (of few compositions, no "
                "more than elements: without the mean error of each)"
            )
        if any(quantity.split == "out_of_coverage" for quantity in self.scores):
            names += "; in and out of domain: test frames inside and outside of the HF training set's coverage"
        if any(quantity.key == "train_atom_gradients" for quantity in self.costs):
            names += (
                "; atom gradients: atoms × structures × passes, those on energies alone or of a frozen trunk counted "
                "like others though they take less time; the CPU time of training charges them by what they cost, as "
                "measured (train, CPU-s)"
            )
        notes.append(names + "; networks: how many are evaluated for a prediction.")
        if self.repeated:
            over: str = self.cell.overlap.over
            if self.single_draw:
                over = "the seeds of one draw; other HF sets may rank the arms otherwise"
            notes.append(f"±: half of the 95 % confidence interval over {over}{self._groups()}.")
            notes.append("Best arm and its statistical ties (no other arm is significantly better): bold, or *.")
            notes += self.cell.overlap.sentences(int(self.cell.without_ceilings["draw"].nunique()))
        else:
            notes.append(
                "One run per arm cannot rank the arms: repeat over draws of the HF set (five say much more than two)."
            )
        notes += self._interval_notes()
        notes += self._baseline_notes()
        for line in self.lines:
            partly = self.cell.partly_failed(line.arm)
            if line.n_failed > partly:
                notes.append(f"{line.arm}: {line.n_failed - partly} of {line.n_runs} runs failed; they are in no mean.")
            if partly:
                notes.append(
                    f"{line.arm}: an observable failed in {partly} of {line.n_runs} runs; what was measured beside it "
                    "is in the means."
                )
        for section in self.sections:
            notes += [section.declared.note] if section.declared.note else []
            notes += [note for note in (self._ceiling(section), self._partial(section)) if note]
        notes += [f"{line.arm}: {note}." for line in self.lines if (note := traits(line.arm).note)]
        return [*notes, *paid_by_others(self.cell), *self.faults, *left_out(self.cell.regime["core"], self.all_arms)]

    def _baseline_notes(self) -> list[str]:
        """Explain the lines of answers without training, and name the arms that are no better than a constant."""
        notes = []
        if BASELINES["constant"] in self.baselines:
            notes.append("Constant predictor: the mean HF energy by composition of the training labels, and no forces.")
        if BASELINES["lf_labels"] in self.baselines:
            notes.append("LF labels: as they are, with reference energies refitted to HF.")
        if found := self.cell.untrained(self.cell.split, self.cell.metric):
            metric = metric_of(self.cell.metric)
            name = metric.label if metric else self.cell.metric
            where = SPLITS.get(self.cell.split, self.cell.split)
            notes.append(
                f"Failed to train ({name}, {where}, no better than the constant predictor): {', '.join(found)}."
            )
        if self.trained:
            notes.append(self.trained)
        return notes

    def _ceiling(self, section: Section) -> str:
        """Say how often the criteria of an observable pass the potential that is trained on all HF labels."""
        start = section.declared.own_rate
        if not start:
            return ""
        ceiling = next(iter(ceilings(line.arm for line in self.lines)), "")
        rates = [
            f"{number(entry.interval.estimate, 2)} at {quantity.title.removeprefix(start)}"
            for quantity in section.quantities
            if quantity.title.startswith(start) and (entry := self.entries.get((ceiling, quantity)))
        ]
        if not rates:
            return ""
        return f"The reference's own rate, of {ceiling}, trained on every HF label: {', '.join(rates)} {start.strip()}."

    def _interval_notes(self) -> list[str]:
        """Explain intervals of single runs, which details of observables give."""
        single = {q.key for (_, q), entry in self.entries.items() if entry.n_groups and entry.interval.n_units < 2}
        owners = (declaring(key) for key in sorted(single))
        return list(dict.fromkeys(owner.interval_note for owner in owners if owner and owner.interval_note))

    def _partial(self, section: Section) -> str:
        """Name what some finished runs of an arm lack: a mean over the others may be over the better ones."""
        finished = {line.arm: line.n_runs - line.n_failed for line in self.lines}
        lacking: dict[str, list[str]] = {}
        for quantity in section.quantities:
            for arm, n in finished.items():
                entry = self.entries.get((arm, quantity))
                if entry is not None and entry.interval.n_runs < n:
                    lacking.setdefault(f"{arm} ({entry.interval.n_runs} of {n})", []).append(quantity.title)
        if not lacking:
            return ""
        words = "; ".join(f"{arm} {', '.join(titles)}" for arm, titles in lacking.items())
        return f"{section.title[0].upper()}{section.title[1:]}, {PARTIAL}: {words}."

    def _groups(self) -> str:
        """Say which intervals are over groups of test frames, too."""
        repeated = [
            (quantity, entry)
            for (_, quantity), entry in self.entries.items()
            if not quantity.is_cost and entry.interval.n_units > 1
        ]
        counts = sorted({entry.n_groups for _, entry in repeated if entry.n_groups})
        if not counts:
            return ", for these test frames"
        many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        words = f" and {many} groups of test frames (molecules, trajectory blocks)"
        if all(entry.n_groups for _, entry in repeated):
            return words
        names = dict.fromkeys(quantity.title.partition(", ")[0] for quantity, entry in repeated if entry.n_groups)
        return f"; of {', '.join(names)} over {self.cell.overlap.over}{words}"


def summaries(results: Results) -> list[Summary]:
    """Make the tables: one for each task, regime and HF set size.

    Parameters
    ----------
    results
        The runs. With errors by group of test frames among their details, intervals are over runs and groups; with
        survival times, the failures are counted by mode.
    """
    arms, trained = tuple(results.arms), trained_enough(results)
    cells = enumerate(results.cells)
    return [replace(_summary(cell), all_arms=arms, trained=trained.get(index, "")) for index, cell in cells]


def tidy(tables: Iterable[Summary]) -> list[dict[str, Any]]:
    """Write tables as records, one for each arm and quantity; numbers are not rounded."""
    records: list[dict[str, Any]] = []
    ceilings: set[tuple[str, ...]] = set()
    for table in tables:
        for line in table.lines:
            if traits(line.arm).is_ceiling:
                place = tuple(table.cell.regime.values())
                if place in ceilings:
                    continue  # it stands in the table of every set size, and is one result
                ceilings.add(place)
            further = (quantity for section in table.sections for quantity in section.quantities)
            for quantity in (*table.scores, *table.costs, *table.retention, *further):
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
                        "unit": _stored_unit(quantity),
                        "estimate": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                        "level": interval.level,
                        "interval_over": table.cell.over(interval.over),
                        "draw_overlap": table.cell.overlap.shared,
                        "n_groups": entry.n_groups,
                        "best_or_tied": entry.best,
                        "n_runs": line.n_runs,
                        "n_failed": line.n_failed,
                    }
                )
    return records


def _own_size(cell: Cell, arm: str) -> str:
    return str(cell.rows.loc[cell.rows["arm"] == arm, "n_high"].iloc[0])


def _stored_unit(quantity: Quantity) -> str:
    if quantity.key in ("train_atom_gradients", "trial_atom_gradients"):
        return "atom gradients"
    metric = metric_of(quantity.key)
    return metric.unit if metric else quantity.unit


def _summary(cell: Cell) -> Summary:
    arms = cell.arms
    scores, retention = _quantities(cell, ERRORS), _quantities(cell, RETENTION)
    declared = [(section, found) for section in report_sections() if (found := _quantities(cell, section.family))]
    known_costs = {key: column for key, column in COSTS.items() if key in cell.rows}
    if "train_steps" in known_costs and cell.rows["train_steps"].isna().all():
        del known_costs["train_steps"]  # runs that were stored before steps were
    if "trial_atom_gradients" in cell.rows and not (cell.rows["trial_atom_gradients"] > 0).any():
        del known_costs["trial_atom_gradients"]
    costs = tuple(Quantity(key, "", title, unit, scale) for key, (title, unit, scale) in known_costs.items())
    entries: dict[tuple[str, Quantity], Entry] = {}
    faults: dict[str, None] = {}
    blocks = cell.blocks
    for quantity in (*scores, *retention, *(quantity for _, found in declared for quantity in found)):
        runs = {arm: cell.runs(arm, quantity.split, quantity.key) for arm in arms}
        metric = metric_of(quantity.key)
        untrained = cell.untrained(quantity.split, quantity.key)  # no error is best that a constant has, too
        ranked = comparable({a: v for a, v in runs.items() if not traits(a).is_ceiling and a not in untrained})
        best = best_of(
            ranked, metric.better if metric else "lower", blocks.structures(ranked, quantity.split, quantity.key)
        )
        for arm, values in runs.items():
            if values:
                interval, n_groups = blocks.interval(values, arm, quantity.split, quantity.key)
                owner = declaring(quantity.key)
                own = own_interval(owner, quantity.key, arm, cell.detail, interval, faults) if owner else None
                interval, n_groups = own or (interval, n_groups)
                entries[arm, quantity] = Entry(interval, arm in best, n_groups)
    for quantity in costs:
        for arm in arms:
            if values := cell.costs(arm, quantity.key):
                entries[arm, quantity] = Entry(mean_interval(values, LEVEL))
    lines = tuple(ArmLine(arm, *cell.counts(arm)) for arm in arms)
    baselines = {
        title: scored
        for prefix, title in BASELINES.items()
        if (scored := {q: v for q in scores if math.isfinite(v := cell.baseline(prefix, q.split, q.key))})
    }
    sections = tuple(_sections(declared, cell, faults))
    return Summary(cell, lines, scores, costs, retention, entries, sections, baselines, faults=tuple(faults))


def _sections(
    declared: Sequence[tuple[Declared, tuple[Quantity, ...]]], cell: Cell, faults: dict[str, None]
) -> Iterator[Section]:
    owners = {section.family: observable for observable in observables() for section in observable.sections}
    for section, quantities in declared:
        owner = owners[section.family]
        known = own_reference(owner, cell.detail, faults)
        reference = {quantity: known[quantity.key] for quantity in quantities if quantity.key in known}
        yield Section(section, quantities, own_words(owner, section.family, cell.detail, faults), reference)


def _quantities(cell: Cell, family: str) -> tuple[Quantity, ...]:
    measured = cell.measured
    metrics = of_family((name for name, _ in measured), family)
    present = {split for name, split in measured if name in {metric.name for metric in metrics}}
    splits = [name for name in SPLITS if name in present] + sorted(present - set(SPLITS))
    return tuple(
        Quantity(
            metric.name,
            split,
            f"{metric.title}, {SPLITS.get(split, split)}"
            if len(splits) > 1 or (split not in SPLITS and family in (ERRORS, RETENTION))
            else metric.title,
            metric.shown_unit or metric.unit,
            metric.scale,
        )
        for metric in metrics
        for split in splits
        if (metric.name, split) in measured
    )
