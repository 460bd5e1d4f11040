"""Tables as grids of text, before a format writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.costs import CostSummary, Need, cost_summaries
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.numbers import MISSING, number, with_error
from mfbench.benchmarks.reports.results import SPLITS, Results
from mfbench.benchmarks.reports.rows import regime_title
from mfbench.benchmarks.reports.summary import HF_REFERENCE, Entry, Quantity, Summary, summaries
from mfbench.mfcore.metrics.economics import Range
from mfbench.mfcore.metrics.learning_curve import DataEfficiency


@dataclass(frozen=True)
class Field:
    """A field of a table: a number with its error or without, or words."""

    text: str
    best: bool = False
    words: bool = False


@dataclass(frozen=True)
class Grid:
    """A table: titles with units, and lines that begin with the arm."""

    header: tuple[tuple[str, str], ...]
    lines: tuple[tuple[Field, ...], ...]
    title: str = ""


@dataclass(frozen=True)
class Page:
    """The part of a report under one headline: a summary with its grids, or the costs of a regime."""

    title: str
    summary: Summary | None
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]


def pages(results: Results) -> list[Page]:
    """Make all tables in the order of a report: each regime's set sizes, then what its errors cost."""
    costs = {tuple(found.regime.values()): found for found in cost_summaries(results)}
    tables = summaries(results)
    made: list[Page] = []
    for index, table in enumerate(tables):
        made.append(Page(table.cell.title, table, _below(table), tuple(table.notes())))
        regime = tuple(table.cell.regime.values())
        last = index + 1 == len(tables) or tuple(tables[index + 1].cell.regime.values()) != regime
        if last and regime in costs:
            made.append(_cost_page(costs[regime]))
    return made


def grid(
    table: Summary,
    quantities: Sequence[Quantity],
    counts: bool,
    words: Mapping[str, Mapping[str, str]] | None = None,
    title: str = "",
    reference: Mapping[Quantity, float] | None = None,
) -> Grid:
    """Lay out some quantities of a summary.

    Parameters
    ----------
    table
        The summary.
    quantities
        Columns of numbers.
    counts
        Whether the numbers of runs, and of those that failed, stand there too; without them an arm that has none of
        the quantities has no line.
    words
        Columns of words: by title, the text by arm.
    title
        Of the grid.
    reference
        What the HF labels themselves have: the last line, where there is any.
    """
    columns = words or {}
    header = [("arm", "")] + [(quantity.title, quantity.unit) for quantity in quantities]
    header += [("runs", ""), ("failed", "")] if counts else []
    header += [(name, "") for name in columns]
    lines = []
    for line in table.lines:
        entries = [table.entries.get((line.arm, quantity)) for quantity in quantities]
        if not counts and all(entry is None for entry in entries):
            continue
        fields = [Field(line.arm, words=True)]
        fields += [
            Field(_value(entry, quantity), entry is not None and entry.best)
            for entry, quantity in zip(entries, quantities, strict=True)
        ]
        fields += [Field(str(line.n_runs)), Field(str(line.n_failed))] if counts else []
        fields += [Field(by_arm.get(line.arm, MISSING), words=True) for by_arm in columns.values()]
        lines.append(tuple(fields))
    for name, known in table.baselines.items():
        if any(quantity in known for quantity in quantities):
            values = [number(q.scale * known[q]) if q in known else MISSING for q in quantities]
            blank = [Field(MISSING)] * (2 if counts else 0) + [Field(MISSING, words=True)] * len(columns)
            lines.append((Field(name, words=True), *map(Field, values), *blank))
    if reference:
        values = [number(q.scale * reference[q]) if q in reference else MISSING for q in quantities]
        blank = [Field(MISSING)] * (2 if counts else 0) + [Field(MISSING, words=True)] * len(columns)
        lines.append((Field(HF_REFERENCE, words=True), *map(Field, values), *blank))
    return Grid(tuple(header), tuple(lines), title)


def _value(entry: Entry | None, quantity: Quantity) -> str:
    if entry is None:
        return MISSING
    interval = entry.interval
    value = quantity.scale * interval.estimate
    if quantity.key == "inference_evaluations":
        return f"{value:g}"
    if quantity.is_cost:
        return number(value)
    return with_error(value, quantity.scale * interval.half_width)


def _below(table: Summary) -> tuple[Grid, ...]:
    """Grids below errors and costs: LF retention, and the tables of observables."""
    found = [grid(table, table.retention, False)] if table.retention else []
    found += [grid(table, part.quantities, False, part.words, part.title, part.reference) for part in table.sections]
    return tuple(found)


def _cost_page(table: CostSummary) -> Page:
    metric = metric_of(table.metric)
    name, unit = (metric.label, metric.unit) if metric else (table.metric, "")
    where = SPLITS.get(table.split, table.split)
    arms = [arm for arm in table.arms if any(table.efficiency[arm, n] is not None for n in table.sizes)]
    reference_sizes = (min(table.sizes), table.n_reference)
    saving = Grid(
        (("arm", ""), *((f"n_high = {n}", "") for n in table.sizes)),
        tuple(
            (
                Field(arm, words=True),
                *(Field(_factor(table.efficiency[arm, n], n, reference_sizes), words=True) for n in table.sizes),
            )
            for arm in arms
        ),
        f"HF labels that {table.reference} needs for the same error, over those of the arm",
    )
    header = (
        ("arm", ""),
        ("HF labels", ""),
        ("fewer by", ""),
        ("labels", "CPU-s"),
        ("train", "CPU-s"),
        ("inference", "µs/atom"),
    )
    reaching = Grid(
        header,
        tuple(_need_line(need, table) for need in table.needs),
        f"what the error of {table.reference} with {table.n_reference} HF labels costs ({number(table.error)} {unit})",
    )
    title = f"costs: {regime_title(table.regime)}, by {name}, {where}"
    return Page(title, None, (saving, reaching), tuple(_cost_notes(table)))


def _factor(found: DataEfficiency | None, n: int, sizes: tuple[int, int]) -> str:
    if found is None:
        return MISSING
    edges = sizes[0] / n, sizes[1] / n
    if found.status == "not reached":
        return f"> {number(edges[1], 2)}, not reached"
    if found.status == "below":
        return f"< {number(edges[0], 2)}"
    return _bounded(found.interval.estimate, found.interval.low, found.interval.high, edges)


def _bounded(value: float, low: float, high: float, edges: tuple[float, float]) -> str:
    """Write a value with its interval; a bound beyond what was tried is written as such."""
    if math.isnan(low):
        return f"{number(value, 2)} [{MISSING}]"
    left = number(low, 2) if low > 0.0 else f"< {number(edges[0], 2)}"
    right = number(high, 2) if math.isfinite(high) else f"> {number(edges[1], 2)}"
    return f"{number(value, 2)} [{left}, {right}]"


def _need_line(need: Need, table: CostSummary) -> tuple[Field, ...]:
    n = table.n_reference
    tried = sorted(size for arm, size in table.efficiency if arm == need.arm and table.efficiency[arm, size])
    edges = (float(tried[0]), float(tried[-1])) if tried else (math.nan, math.nan)
    if need.arm == table.reference:
        labels, fewer = str(n), "1"
    elif need.status == "not reached":
        labels, fewer = f"> {edges[1]:g}, not reached", f"< {number(n / edges[1], 2)}"
    elif need.status == "below":
        labels, fewer = f"< {edges[0]:g}", f"> {number(n / edges[0], 2)}"
    else:
        labels = _bounded(need.n_high, need.low, need.high, edges)
        inverse = math.inf if need.low == 0.0 else n / need.low, 0.0 if need.high == math.inf else n / need.high
        fewer = _bounded(n / need.n_high, inverse[1], inverse[0], (n / edges[1], n / edges[0]))
    costs = (need.label_cpu_s, need.train_cpu_s, need.inference_us_per_atom)
    return (
        Field(need.arm, words=True),
        Field(labels, words=True),
        Field(fewer, words=True),
        *(Field(number(cost)) for cost in costs),
    )


def _cost_notes(table: CostSummary) -> Iterator[str]:
    yield (
        "Errors are fitted power laws of the HF labels. Brackets: 95 % confidence interval over draws and groups of "
        "test frames (molecules, trajectory blocks), by Fieller's method, and of break-even points by a parametric "
        "bootstrap, with prices and the time of a training as known; > and <: beyond the set sizes that were run."
    )
    if table.no_interval:
        yield f"[{MISSING}]: no interval, since {', or '.join(table.no_interval)}."
    yield from table.paid_by_others
    if math.isfinite(table.prices.high) or math.isfinite(table.prices.low):
        low, high = number(table.prices.low), number(table.prices.high)
        yield f"Price of a label, from the rows: LF {low}, HF {high} CPU-s."
    if table.by_predictions:
        yield f"Cheapest at that error by atoms predicted (atoms × structures): {_ranges(table.by_predictions)}."
    for arm in table.left_out:
        yield f"{arm} is left out there: the price of its LF labels for each atom is not known."
    if table.by_label_price:
        free = ", LF labels taken as free: their price is not known" if table.without_low_price else ""
        yield (
            f"Cheapest at that error by the price of an HF label in CPU-s (labels and training{free}): "
            f"{_ranges(table.by_label_price)}."
        )
    if names := ", ".join(need.arm for need in table.needs if not traits(need.arm).self_contained):
        yield f"{names}: its LF labels for predictions are not in 'inference'."


def _ranges(ranges: Sequence[Range]) -> str:
    parts = [f"{found.arm} up to {_end(found)}" for found in ranges[:-1]]
    return ", then ".join([*parts, f"{ranges[-1].arm}" + (" for any" if len(ranges) == 1 else "")])


def _end(found: Range) -> str:
    """Write a break-even point with its interval."""
    if math.isnan(found.low):
        return f"{number(found.end)} [{MISSING}]"
    low = number(found.low, 2) if found.low > 0.0 else "0"
    return f"{number(found.end)} [{low}, {number(found.high, 2) if math.isfinite(found.high) else 'no bound'}]"
