"""Errors that twice the HF labels would give the arms, and the cost of the labels, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.reports.numbers import MISSING, number
from mfbench.benchmarks.reports.results import Part
from mfbench.benchmarks.reports.rows import ALL
from mfbench.mfcore.metrics.crossed import lacking
from mfbench.mfcore.metrics.extrapolation import LEAST_SIZES, extrapolate
from mfbench.mfcore.metrics.intervals import Runs
from mfbench.mfcore.metrics.structures import StructureErrors


def curve_lines(part: Part, n_all: int | None, cost: float | None = None, low_cost: float | None = None) -> list[str]:
    """Say for each arm what twice the labels would give: sentences, one an arm, under a headline.

    Parameters
    ----------
    part
        Runs of one regime.
    n_all
        HF training frames of runs that take all; None: there are none.
    cost, low_cost
        CPU-s of the labels of a frame at the target, and at the level next to it; None: not known.
    """
    sizes = _sizes(part, n_all)
    if len(sizes) < 2:
        return []
    arms = [arm for arm in part.candidates if traits(arm).role != "floor"]
    n, metric = max(sizes.values()), metric_of(part.metric)
    unit, title = (metric.unit, metric.title) if metric else ("", part.metric)
    words = f"{n} further HF frames" + _price(n, cost)
    parts = {size: part.of_size(name) for name, size in sizes.items()}
    lines = [f"With twice the HF labels, {2 * n}, that is {words}, by the power law of each arm's errors ({title}):"]
    reasons: dict[str, None] = {}
    for arm in arms:
        found = {size: own.runs(arm, part.split, part.metric) for size, own in parts.items()}
        curve = {size: values for size, values in found.items() if values}
        same = any(parts[size].overlap.over == "seeds" for size in curve)
        groups = {
            size: known[arm]
            for size, values in curve.items()
            if (known := parts[size].structures({arm: values}, part.split, part.metric))
        }
        also = f"; it takes as many LF labels more{_price(n, low_cost)}" if traits(arm).needs_paired else ""
        lines.append(f"  {arm}: {_sentence(curve, groups, same, n, unit, reasons)}{also}.")
    if reasons:
        lines.append(f"  [{MISSING}]: no interval, since {', or '.join(reasons)}.")
    if len(sizes) < LEAST_SIZES:
        lines.append(f"  Give {LEAST_SIZES} or more numbers of HF frames (--n-high), a factor of two or more apart.")
    return lines


def _sizes(part: Part, n_all: int | None) -> dict[str, int]:
    """Numbers of HF frames of the runs, by their names in rows."""
    names = part.size_names if part.candidates else []
    return {name: n for name in names if (n := n_all if name == ALL else int(name)) is not None}


def _price(n: int, cost: float | None) -> str:
    return "" if cost is None else f" ({cpu_time(n * cost)})"


def _sentence(
    curve: Mapping[int, Runs],
    groups: Mapping[int, StructureErrors],
    same_frames: bool,
    n: int,
    unit: str,
    reasons: dict[str, None],
) -> str:
    """Say what is to be expected of an arm; the reason why it has no interval is added to `reasons`."""
    n_groups = {known.n_groups for known in groups.values()} if set(groups) == set(curve) else set()
    known = groups if len(n_groups) == 1 and min(n_groups) > 1 else None
    found = extrapolate(curve, 2 * n, LEVEL, known)
    if found.law is None or found.reason:
        return f"cannot be extrapolated: {found.reason}"
    if n not in curve:
        return f"cannot be extrapolated: no run with {n} has finished"
    exponent = found.law.exponent
    law = f"error ∝ n^-{exponent.estimate:.2f}"
    after = f"are to be expected, after {number(_mean(curve[n].values()))} with {n}"
    many = n_groups.pop() if known else 0
    if why := lacking(exponent.n_units, many, same_frames=same_frames):
        reasons[why] = None
        return f"{number(found.estimate)} {unit} [{MISSING}] {after} ({law})"
    return (
        f"{number(found.estimate)} {unit} [{number(found.low)}, {number(found.high)}] {after} ({law}, "
        f"{100 * LEVEL:.0f} % interval over {exponent.n_units} draws and {many} groups of test frames)"
    )


def _mean(values: Iterable[float]) -> float:
    known: Sequence[float] = list(values)
    return sum(known) / len(known)


def cpu_time(seconds: float) -> str:
    """CPU time with its unit, with three digits."""
    return f"{number(seconds)} CPU-s" if seconds < 3600 else f"{number(seconds / 3600)} CPU-h"
