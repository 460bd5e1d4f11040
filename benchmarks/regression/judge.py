"""Verdicts: what is better, the same, worse, missing or not comparable with the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from mfbench.benchmarks.regression.statistics import LEVEL, POWER, Shift, pooled, shift, spread
from mfbench.benchmarks.regression.tracked import Tracked, tracked
from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from mfbench.benchmarks.regression.baseline import Baseline, BaselineCell
    from mfbench.benchmarks.regression.measure import Cell, Measured, Repetition

    Pair = tuple[BaselineCell, Mapping[Repetition, float]]

SMALLEST = 1e-12
"""Stand-in for zero under a logarithm."""

ALL_ARMS = "all arms"


class Verdict(StrEnum):
    """Verdict on a metric."""

    better = "better"
    same = "same"
    worse = "worse"
    missing = "missing"
    not_comparable = "not comparable"


FAILING = (Verdict.worse, Verdict.missing)


@dataclass(frozen=True)
class Finding:
    """A verdict and what it rests on.

    Attributes
    ----------
    group
        "all arms" (a metric averaged over arms and splits), "arm", "cost" or "speed".
    task, regime, arm, split, metric
        What it is about; empty where it is about all of them.
    change
        Relative change of the geometric mean; NaN if there is none.
    alarm, detectable
        Relative change beyond which there is an alarm, and that which raises one with probability `POWER`.
    n_baseline, n_new
        Seeds (speed: repeats of the suite).
    note
        Why, where numbers do not say it.
    """

    group: str
    verdict: Verdict
    task: str = ""
    regime: str = ""
    arm: str = ""
    split: str = ""
    metric: str = ""
    change: float = math.nan
    alarm: float = math.nan
    detectable: float = math.nan
    n_baseline: int = 0
    n_new: int = 0
    note: str = ""


def failed(findings: Iterable[Finding]) -> bool:
    """Say whether any verdict is worse or missing, or nothing at all was measured."""
    verdicts = [finding.verdict for finding in findings]
    return any(verdict in FAILING for verdict in verdicts) or all(v is Verdict.not_comparable for v in verdicts)


def compare(baseline: Baseline, measured: Measured, *, level: float = LEVEL) -> list[Finding]:
    """Compare runs with a baseline.

    Every metric is judged in each (arm, split), and averaged over arms and splits. Half the level goes to either
    family, divided by the number of its members (Bonferroni, which holds for any dependence). The averages find a
    small change that all arms share, the single ones a large change of one of them.

    Parameters
    ----------
    level
        Probability of any false alarm for unchanged code.

    Raises
    ------
    ConfigError
        If the baseline is of another preset.
    """
    if baseline.preset != measured.preset:
        raise ConfigError(f"baseline: is of preset '{baseline.preset}', the runs are of '{measured.preset}'.")
    findings: list[Finding] = []
    judged: list[Pair] = []
    places: dict[tuple[str, str, str], list[BaselineCell]] = {}
    for entry in baseline.cells:
        places.setdefault((entry.task, entry.regime, entry.arm), []).append(entry)
    for place, entries in places.items():
        missing, comparable = _sort(place, entries, measured)
        findings += missing
        judged += comparable
    exact = [pair for pair in judged if _tracked(pair[0].metric).group == "cost"]
    scattered = [pair for pair in judged if _tracked(pair[0].metric).group != "cost"]
    return [*_statistical(scattered, level), *_exact(exact), *findings]


def _tracked(metric: str) -> Tracked:
    found = tracked(metric)
    if found is None:
        raise ConfigError(f"baseline: metric '{metric}' is not tracked by this version; write a new one by --update.")
    return found


def _sort(
    place: tuple[str, str, str], entries: Sequence[BaselineCell], measured: Measured
) -> tuple[list[Finding], list[Pair]]:
    """Tell what of an arm can be compared from what cannot, with the reasons."""
    task, regime, arm = place

    def one(verdict: Verdict, note: str, cell: Cell | None = None) -> Finding:
        split, metric = (cell.split, cell.metric) if cell else ("", "")
        return Finding("arm", verdict, task, regime, arm, split, metric, note=note)

    if place not in measured.planned:
        return [one(Verdict.not_comparable, f"preset '{measured.preset}' has no such runs any more")], []
    reasons = measured.failed.get(place)
    if reasons:
        (draw, seed), reason = next(iter(reasons.items()))
        return [one(Verdict.missing, f"{len(reasons)} runs failed; draw {draw}, seed {seed}: {reason}")], []
    here = {cell: found for cell, found in measured.benchmarks.items() if cell[:3] == place}
    if not here:
        stale = f"; {measured.n_stale} stored runs are of other code or settings" if measured.n_stale else ""
        return [one(Verdict.missing, f"not run{stale}")], []
    known = {entry.benchmark for entry in entries}
    if known.isdisjoint(here.values()):
        return [one(Verdict.not_comparable, "preset, data, draws or the code that scores were edited")], []
    findings: list[Finding] = []
    comparable: list[Pair] = []
    for entry in entries:
        cell = entry.cell
        if cell not in measured.values:
            findings.append(one(Verdict.missing, "the runs do not have it", cell))
        elif here[cell] != entry.benchmark:
            findings.append(one(Verdict.not_comparable, "what measures it was edited", cell))
        else:
            comparable.append((entry, measured.values[cell]))
    return findings, comparable


def _logs(values: Mapping[Repetition, float], better: str) -> dict[int, float]:
    """Logarithm by seed, averaged over the draws, so signed that more is worse; seeds that lack a draw are left out."""
    sign = 1.0 if better == "lower" else -1.0
    draws = {draw for draw, _ in values}
    seeds = sorted({seed for _, seed in values})
    whole = [seed for seed in seeds if all((draw, seed) in values for draw in draws)]
    return {s: sign * float(np.mean([math.log(max(values[d, s], SMALLEST)) for d in draws])) for s in whole}


def _statistical(pairs: Sequence[Pair], level: float) -> list[Finding]:
    """Judge what scatters over seeds."""
    old: dict[Cell, dict[int, float]] = {}
    new: dict[Cell, dict[int, float]] = {}
    members: dict[tuple[str, str], list[Cell]] = {}
    for entry, values in pairs:
        cell, better = entry.cell, _tracked(entry.metric).better
        old[cell], new[cell] = _logs(entry.repetitions(), better), _logs(values, better)
        members.setdefault((cell.task, cell.metric), []).append(cell)
    averages = {
        group: (pooled([old[cell] for cell in cells]), pooled([new[cell] for cell in cells]))
        for group, cells in members.items()
        if len(cells) > 1
    }
    averages = {group: both for group, both in averages.items() if both[1]}
    per_average = level / 2 / max(len(averages), 1)
    per_cell = level / (2 if averages else 1) / max(len(old), 1)
    findings = [
        _judge(Finding(ALL_ARMS, Verdict.same, task=task, metric=metric), shift(*both), per_average, both)
        for (task, metric), both in averages.items()
    ]
    squares: dict[tuple[str, str, str], list[float]] = {}
    for cell, logs in old.items():
        square = spread(np.array(list(logs.values()))) ** 2
        squares.setdefault((cell.task, cell.split, cell.metric), []).append(square)
    for cell in old:
        # A spread that is small by luck would raise alarms for ever: at least that of the arms together.
        least = math.sqrt(float(np.mean(squares[cell.task, cell.split, cell.metric])))
        moved = shift(old[cell], new[cell], least_spread=least)
        head = Finding("arm", Verdict.same, *cell)
        findings.append(_judge(head, moved, per_cell, (old[cell], new[cell])))
    return findings


def _judge(head: Finding, moved: Shift, level: float, both: tuple[Mapping[int, float], Mapping[int, float]]) -> Finding:
    known = _tracked(head.metric)
    least = math.log1p(known.floor)
    verdict = Verdict.same
    if abs(moved.change) > least:
        if moved.p_up < level:
            verdict = Verdict.worse
        elif moved.p_down < level:
            verdict = Verdict.better
    sign = 1.0 if known.better == "lower" else -1.0
    return replace(
        head,
        verdict=verdict,
        change=math.expm1(sign * moved.change),
        alarm=math.expm1(sign * max(moved.detectable(level), least)),
        detectable=math.expm1(sign * max(moved.detectable(level, POWER), least)),
        n_baseline=len(both[0]),
        n_new=len(both[1]),
        note="identical" if moved.identical else "same seeds" if moved.paired else "",
    )


def _exact(pairs: Sequence[Pair]) -> list[Finding]:
    """Judge what is counted: no spread, only a tolerance."""
    findings = []
    for entry, values in pairs:
        known = _tracked(entry.metric)
        before, after = (float(np.mean(list(v.values()))) for v in (entry.repetitions(), values))
        change = after / before - 1.0 if before else (0.0 if after == before else math.inf)
        verdict = Verdict.same
        if abs(change) > known.floor:
            verdict = Verdict.worse if (change > 0) == (known.better == "lower") else Verdict.better
        n = (len(entry.values), len(values))
        findings.append(
            Finding("cost", verdict, *entry.cell, change, known.floor, known.floor, *n, "identical" * (change == 0.0))
        )
    return findings
