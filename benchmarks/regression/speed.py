"""Speed against the baseline: times of a pytest-benchmark JSON as ratios to a reference kernel timed in the same run.

A ratio of least times (of process CPU time) depends little on the machine and on its load, a time does. What is left of
both is in the spread over repeats of the suite, or over the rounds of one, and in `FLOOR`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from mfbench.benchmarks.regression.judge import Finding, Verdict
from mfbench.benchmarks.regression.measure import Speed
from mfbench.benchmarks.regression.statistics import LEVEL, POWER, Error
from mfbench.mfcore.documents import parse_json, read_document
from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    from mfbench.benchmarks.regression.baseline import BaselineSpeed

REFERENCE = "test_reference_gemm"
"""Name of the reference kernel's benchmark."""

FLOOR = math.log(1.6)
"""Change of the logarithm of a ratio that counts as none. Neighbours on the chip slow the core down more than the
matrix product: with three jobs for each core, ratios were up to 45 % above those of the idle machine. A time that
doubles is 0.69."""

BLOCKS = 3
"""Parts of a benchmark's rounds whose least times tell how well the least time is known."""

LARGEST_BYTES = 64 * 2**20
HINT = "`pytest --benchmark-json=FILE --benchmark-timer=time.process_time` writes such files."


def read_speed(paths: Sequence[Path]) -> list[Speed]:
    """Read repeats of a suite.

    Raises
    ------
    DataError
        If a file is no pytest-benchmark JSON, lacks the reference kernel, or holds no other benchmark.
    """
    ratios: dict[str, list[float]] = {}
    spreads: dict[str, list[float]] = {}
    sources: dict[str, str] = {}
    for path in paths:
        entries = _entries(path)
        named = [name for name in entries if name.endswith(f"::{REFERENCE}")]
        if len(named) != 1:
            raise DataError(f"expected one benchmark '{REFERENCE}', found {len(named)}.", file=path, hint=HINT)
        reference = entries.pop(named[0])
        if not entries:
            raise DataError(f"has no benchmark beside '{REFERENCE}'.", file=path, hint=HINT)
        for name, entry in entries.items():
            ratios.setdefault(name, []).append(_least(path, name, entry) / _least(path, named[0], reference))
            spreads.setdefault(name, []).append(math.hypot(_spread(entry), _spread(reference)))
            sources[name] = str(entry.get("extra_info", {}).get("source_sha256", ""))
    return [
        Speed(name, sources[name], tuple(found), float(np.sqrt(np.mean(np.square(spreads[name])))))
        for name, found in sorted(ratios.items())
    ]


def _entries(path: Path) -> dict[str, Mapping[str, Any]]:
    def fail(problem: str) -> DataError:
        return DataError(f"not a pytest-benchmark JSON: {problem}", file=path, hint=HINT)

    content = parse_json(read_document(path, largest=LARGEST_BYTES, fail=fail), fail, most=5_000_000)
    entries = content.get("benchmarks") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise fail("expected a list 'benchmarks'.")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("fullname"), str):
            raise fail("an entry of 'benchmarks' has no 'fullname'.")
        for key in ("stats", "extra_info"):
            if not isinstance(entry.get(key, {}), dict):
                raise fail(f"'{key}' of an entry is no object.")
        if not all(isinstance(x, int | float) for x in _data(entry)):
            raise fail("'data' of an entry has other values than numbers.")
    return {_name(entry["fullname"]): entry for entry in entries}


def _data(entry: Mapping[str, Any]) -> list[Any]:
    found = entry.get("stats", {}).get("data", [])
    return found if isinstance(found, list) else [found]


def _name(fullname: str) -> str:
    file, _, test = fullname.partition("::")
    return f"{file.rpartition('/')[2]}::{test}"


def _least(path: Path, name: str, entry: Mapping[str, Any]) -> float:
    value = entry.get("stats", {}).get("min")
    if not isinstance(value, int | float) or not (math.isfinite(value) and value > 0.0):
        raise DataError(f"least time is {value}; expected seconds above 0.", file=path, key=name, hint=HINT)
    return float(value)


def _spread(entry: Mapping[str, Any]) -> float:
    """Spread of the logarithm of the least time, from parts of the rounds in the order in which they were timed."""
    rounds = [float(x) for x in _data(entry) if x > 0.0]
    if len(rounds) < 2 * BLOCKS:
        return 0.0
    least = [min(part) for part in np.array_split(np.array(rounds), BLOCKS)]
    return float(np.std(np.log(least), ddof=1))


def compare_speed(baseline: Sequence[BaselineSpeed], measured: Sequence[Speed], level: float = LEVEL) -> list[Finding]:
    """Compare the ratios of a suite with a baseline's.

    The spread is that of the benchmark over its repeats or that of all benchmarks, whichever is larger: few repeats
    know their own spread badly.
    """
    now = {speed.name: speed for speed in measured}
    findings, comparable = [], []
    for entry in baseline:
        speed = now.get(entry.name)
        if speed is None:
            findings.append(Finding("speed", Verdict.missing, metric=entry.name, note="not timed"))
        elif speed.source != entry.source:
            findings.append(Finding("speed", Verdict.not_comparable, metric=entry.name, note="benchmark was edited"))
        else:
            comparable.append((entry, speed))
    common, freedom = _common_spread(comparable)
    for entry, speed in comparable:
        old, new = np.log(entry.ratios), np.log(speed.ratios)
        own = float(old.std(ddof=1)) if len(old) > 1 else 0.0
        error = Error(max(own, common) * math.sqrt(1 / len(old) + 1 / len(new)), freedom)
        change = float(new.mean() - old.mean())
        up, down = error.tails(change)
        passed = level / len(comparable)
        verdict = Verdict.same
        if abs(change) > FLOOR:
            verdict = Verdict.worse if up < passed else Verdict.better if down < passed else Verdict.same
        findings.append(
            Finding(
                "speed",
                verdict,
                metric=entry.name,
                change=math.expm1(change),
                alarm=math.expm1(max(FLOOR, error.reach(passed, 0.5))),
                detectable=math.expm1(max(FLOOR, error.reach(passed, POWER))),
                n_baseline=len(old),
                n_new=len(new),
            )
        )
    return findings


def _common_spread(pairs: Sequence[tuple[BaselineSpeed, Speed]]) -> tuple[float, int]:
    """Spread of a logarithm that the benchmarks have in common, with its degrees of freedom.

    Of the variances over repeats it takes the median, as a chi-squared variable has it: one benchmark that has two
    modes (memory that lies well or badly) is to widen its own threshold, not that of all others.
    """
    freedom = [len(entry.ratios) - 1 for entry, _ in pairs if len(entry.ratios) > 1]
    scaled = [
        float(np.var(np.log(entry.ratios), ddof=1)) * n / float(special.chdtri(n, 0.5))
        for (entry, _), n in zip([pair for pair in pairs if len(pair[0].ratios) > 1], freedom, strict=True)
    ]
    between = math.sqrt(float(np.median(scaled))) if scaled else 0.0
    within = float(np.median([speed.spread for _, speed in pairs])) if pairs else 0.0
    return max(between, within), max(sum(freedom), (BLOCKS - 1) * len(pairs), 1)
