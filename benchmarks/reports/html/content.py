"""Words and tables of a page, before the template writes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.costs import CostSummary
from mfbench.benchmarks.reports.figures.style import PANELS
from mfbench.benchmarks.reports.html.origin import Origin
from mfbench.benchmarks.reports.metrics import metric_of, report_sections
from mfbench.benchmarks.reports.numbers import MISSING, number, with_error
from mfbench.benchmarks.reports.recommend import reason
from mfbench.benchmarks.reports.results import Cell as Tabled
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.rows import REGIME, budget_words, other_rules
from mfbench.benchmarks.reports.summary import HF_REFERENCE, PARTIAL, Entry, Quantity, Summary
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.metrics.learning_curve import DataEfficiency

LEAST_SHOWN = 0.005
"""Probability of being best below which an arm is not worth its place in the list."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, the number that columns are sorted by, and what its tip says."""

    text: str
    value: float | None = None
    best: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Line:
    """A line: an arm, or what the HF labels themselves have, and its cells."""

    arm: str
    cells: tuple[Cell, ...]
    is_arm: bool = True


@dataclass(frozen=True)
class Group:
    """The lines of one HF set size; "" where the sizes are columns."""

    n_high: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A table of one regime: all HF set sizes under one head of (title, unit, explanation)."""

    name: str
    columns: tuple[tuple[str, str, str], ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Advice:
    """Recommendation at one HF set size."""

    n_high: str
    arm: str | None
    probability: float
    reason: str
    probabilities: tuple[tuple[str, str], ...]
    ties: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A regime: its names, its recommendations, its tables, and the notes under them."""

    id: str
    title: str
    short: str
    task: str
    criterion: str
    sizes: tuple[str, ...]
    advice: tuple[Advice, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A run that failed."""

    section: str
    arm: str
    n_high: str
    draw: int
    seed: int
    key: str
    reason: str


def sections(results: Results, tables: Sequence[Summary], costs: Sequence[CostSummary] = ()) -> list[Section]:
    """Make the sections of a page, one for each regime.

    Parameters
    ----------
    results
        The runs.
    tables
        Their summaries, from `mfbench.benchmarks.reports.summary.summaries`.
    costs
        What an error costs, from `mfbench.benchmarks.reports.costs.cost_summaries`.
    """
    made = []
    for index, part in enumerate(results.regimes):
        regime, split = part.regime, part.split
        own = [table for table in tables if table.cell.regime == regime]
        metric = metric_of(part.metric)
        label = metric.axis if metric else part.metric
        made.append(
            Section(
                id=f"regime-{index}",
                title=regime_title(regime),
                short=", ".join(_named(key, regime[key]) for key in results.varying) or regime["task"],
                task=regime["task"],
                criterion=f"{label}, {PANELS.get(split, split)}",
                sizes=tuple(table.cell.n_high for table in own),
                advice=tuple(_advice(table.cell) for table in own),
                tables=(*_tables(own), *(_efficiency(cost) for cost in costs if cost.regime == regime)),
                notes=tuple(_notes(own)),
            )
        )
    return made


def regime_title(regime: Mapping[str, str]) -> str:
    """Write a regime in one line, without the HF set size."""
    parts = [regime["task"], f"{regime['n_low']} LF frames", regime["labels"], f"{regime['pairing']} sets"]
    parts.append("full coverage" if regime["coverage"] == "full" else f"coverage {regime['coverage']}")
    if regime["core"] != DEFAULT:
        parts.insert(1, f"core {regime['core']}")
    if regime["e0"] != "default":
        parts.append(f"E0 {regime['e0']}")
    parts += other_rules(regime)
    if regime["selection"] != "default":
        parts.append(f"selection {regime['selection']}")
    if regime["budget"] != "default":
        parts.append(f"budget {budget_words(regime['budget'])}")
    return ", ".join(parts)


def failures(results: Results, origin: Origin) -> list[Failure]:
    """List the runs that failed, with the reasons that are known; one that scored no finite number has failed too."""
    rows = results.rows
    names = {tuple(part.regime.values()): regime_title(part.regime) for part in results.regimes}
    finite = rows["value"].map(math.isfinite)
    broken = rows[(rows["status"] != "finished") | ~finite].drop_duplicates("run_key")
    made = []
    unknown = "not stored in a file of rows; the folder of runs has it"
    for line in broken.to_dict("records"):
        key = str(line["run_key"])
        scored = f"{line['metric']} ({line['split']}) is not finite" if line["status"] == "finished" else ""
        made.append(
            Failure(
                section=names[tuple(str(line[name]) for name in REGIME)],
                arm=str(line["arm"]),
                n_high=str(line["n_high"]),
                draw=int(line["draw"]),
                seed=int(line["seed"]),
                key=key,
                reason=scored or origin.reasons.get(key, unknown),
            )
        )
    return made


def _named(key: str, value: str) -> str:
    return {
        "core": f"core {value}",
        "n_low": f"{value} LF frames",
        "coverage": f"coverage {value}",
        "e0": f"E0 {value}",
        "selected_by": f"weights selected by {value}",
        "split_rule": f"split rule {value}",
        "selection": f"selection {value}",
        "budget": f"budget {value}",
    }.get(key, value)


def _advice(cell: Tabled) -> Advice:
    found, why = cell.recommendation(), reason(cell)
    shown = [(arm, f"{p:.2f}") for arm, p in found.probabilities.items() if p >= LEAST_SHOWN]
    said = why[0].upper() + why[1:] if found.arm is None else why
    return Advice(cell.n_high, found.arm, found.probability, said, tuple(shown), found.ties)


def _tables(summaries: Sequence[Summary]) -> list[Table]:
    """Group the summaries of a regime by kind; a kind that no set size has is left out."""
    kinds = {
        "Errors": [summary.scores for summary in summaries],
        "Costs": [summary.costs for summary in summaries],
        "Errors of the same potentials on LF labels": [summary.retention for summary in summaries],
    }
    made = [_table(name, summaries, quantities) for name, quantities in kinds.items()]
    for section in report_sections():
        title = section.title
        parts = [next((part for part in s.sections if part.family == section.family), None) for s in summaries]
        words = [part.words if part else {} for part in parts]
        quantities = [part.quantities if part else () for part in parts]
        references = [part.reference if part else {} for part in parts]
        made.append(_table(title[0].upper() + title[1:], summaries, quantities, words, references))
    return [table for table in made if table is not None]


def _table(
    name: str,
    summaries: Sequence[Summary],
    quantities: Sequence[Sequence[Quantity]],
    words: Sequence[Mapping[str, Mapping[str, str]]] = (),
    references: Sequence[Mapping[Quantity, float]] = (),
) -> Table | None:
    counted = name == "Errors"
    columns = list(dict.fromkeys(quantity for some in quantities for quantity in some))
    columns = [q for q in columns if any((line.arm, q) in s.entries for s in summaries for line in s.lines)]
    if not columns:
        return None
    said = list(dict.fromkeys(title for some in words for title in some))
    groups = []
    for index, summary in enumerate(summaries):
        lines = []
        for line in summary.lines:
            entries = [summary.entries.get((line.arm, quantity)) for quantity in columns]
            if not counted and all(entry is None for entry in entries):
                continue
            row = [_cell(entry, quantity, summary.cell) for entry, quantity in zip(entries, columns, strict=True)]
            row += [_word(words[index].get(title, {}).get(line.arm, MISSING)) for title in said]
            if counted:
                row += [Cell(str(n), float(n)) for n in (line.n_runs, line.n_failed)]
            lines.append(Line(line.arm, tuple(row)))
        for title, scored in summary.baselines.items() if counted else ():
            row = [_plain(q.scale * scored[q], "without training") if q in scored else Cell(MISSING) for q in columns]
            lines.append(Line(title, (*row, Cell(MISSING), Cell(MISSING)), is_arm=False))
        if references and references[index]:
            known = {quantity: value for some in references for quantity, value in some.items()}
            row = [_plain(q.scale * known[q]) if q in known else Cell(MISSING) for q in columns]
            lines.append(Line(HF_REFERENCE, (*row, *[Cell(MISSING)] * len(said)), is_arm=False))
        if lines:
            groups.append(Group(summary.cell.n_high, tuple(lines)))
    head = [(quantity.title, quantity.unit, _explained(quantity)) for quantity in columns]
    head += [(title, "", f"{title}, all runs together") for title in said]
    if counted:
        head += [("runs", "", "runs of the arm"), ("failed", "", "of them failed; they are in no mean")]
    return Table(name, tuple(head), tuple(groups))


def _efficiency(cost: CostSummary) -> Table:
    """Write how many HF labels the reference needs for the error of an arm, over the arm's own number."""
    lines = [Line(arm, tuple(_factor(cost.efficiency.get((arm, n)), cost) for n in cost.sizes)) for arm in cost.arms]
    meaning = f"HF labels that {cost.reference} needs for the error that the arm has with n_high, over n_high"
    metric = metric_of(cost.metric)
    error = f"{metric.label if metric else cost.metric} {PANELS.get(cost.split, cost.split)}"
    return Table(
        f"HF labels that {cost.reference} needs for the same {error}, as a multiple of the arm's",
        tuple((f"n = {n}", "", meaning) for n in cost.sizes),
        (Group("", tuple(lines)),),
    )


def _factor(found: DataEfficiency | None, cost: CostSummary) -> Cell:
    if found is None:
        return Cell(MISSING, tip="no draw has every set size for both arms")
    interval = found.interval
    if found.status == "not reached":
        return Cell(f"> {number(interval.low, 2)}", interval.low, tip="not reached within the measured set sizes")
    if found.status == "below":
        return Cell(
            f"< {number(interval.high, 2)}", interval.high, tip="already with the smallest set that was measured"
        )
    if math.isnan(interval.low):
        return Cell(
            number(interval.estimate, 2), interval.estimate, tip=f"no interval: {', or '.join(cost.no_interval)}"
        )
    low, high = ("∞" if bound == math.inf else number(bound, 2) for bound in (interval.low, interval.high))
    over = f"{interval.n_units} {interval.over} and {found.n_groups} groups of test frames"
    tip = f"{100 * interval.level:g} % interval {low} to {high} over {over}"
    return Cell(number(interval.estimate, 2), interval.estimate, tip=tip)


def _word(text: str) -> Cell:
    """Make a cell of words; one that is a number is sorted as one."""
    return Cell(text, float(text)) if text.isdigit() else Cell(text)


def _plain(value: float, tip: str = "the HF labels themselves") -> Cell:
    return Cell(number(value), value, tip=tip)


def _cell(entry: Entry | None, quantity: Quantity, table: Tabled) -> Cell:
    if entry is None:
        return Cell(MISSING)
    interval, scale = entry.interval, quantity.scale
    value = scale * interval.estimate
    if quantity.key == "inference_evaluations":
        return Cell(f"{value:g}", value)
    text = number(value) if quantity.is_cost else with_error(value, scale * interval.half_width)
    tip = f"{interval.n_runs} run{'s' if interval.n_runs > 1 else ''}"
    if math.isfinite(interval.half_width):
        low, high = (number(scale * bound) for bound in (interval.low, interval.high))
        tip = f"{100 * interval.level:g} % interval {low} to {high} {quantity.unit}".rstrip() + (
            f" over {interval.n_units} {table.over(interval.over)} ({tip})"
        )
        if entry.n_groups:
            tip += f" and {entry.n_groups} groups of test frames"
    return Cell(text, value if math.isfinite(value) else None, entry.best, tip)


def _explained(quantity: Quantity) -> str:
    metric = metric_of(quantity.key)
    if metric is None:
        return {
            "train_atom_gradients": "training compute, 10^6 atom-gradient evaluations",
            "train_steps": "optimiser steps of all stages",
            "train_wall_s": "wall time of training",
            "train_cpu_s": "CPU time of training, measured: steps on energies alone or of a frozen trunk cost less",
            "label_cost_cpu_s": "CPU time of the labels used, where it was measured",
            "inference_us_per_atom": "time of energies and forces per atom",
            "inference_evaluations": "network evaluations a prediction",
        }.get(quantity.key, quantity.key)
    return f"{metric.label}, {PANELS.get(quantity.split, quantity.split)}" if quantity.split else metric.label


def _notes(summaries: Iterable[Summary]) -> list[str]:
    """Give the notes of all tables of a regime, each once; those that count failures say at which size."""
    notes: dict[str, None] = {}
    summaries = list(summaries)
    common = set.intersection(*(set(summary.notes()) for summary in summaries)) if summaries else set()
    for summary in summaries:
        for note in summary.notes():
            text = note.replace("bold, or *", "bold").replace("10^6", "10⁶")
            about = text.partition(":")[0]
            fixed = bool(traits(about).note) and text.endswith(f"{traits(about).note}.")
            counts = about.endswith(PARTIAL) or (not fixed and any(line.arm == about for line in summary.lines))
            of_draws = note.startswith(("±", "Overlap", "Runs of draw")) and note not in common
            notes[f"n_high = {summary.cell.n_high}, {text}" if counts or of_draws else text] = None
    return list(notes)
