"""From a folder of runs to the numbers that are tracked, by what they are about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.regression.tracked import COST_COLUMNS, tracked
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.benchmarks.harness.presets import Preset

Repetition = tuple[int, int]
"""(draw, seed)."""


class Cell(NamedTuple):
    """Place of a number of a run; the split is empty for a number that a run has once."""

    task: str
    regime: str
    arm: str
    split: str
    metric: str


@dataclass(frozen=True)
class Speed:
    """Times of one benchmark.

    Attributes
    ----------
    name
        File and test.
    source
        Hash of its source, "" if the file does not say.
    ratios
        Least time over the reference's least time, one a repeat of the suite.
    spread
        Standard deviation of the logarithm of a ratio as the rounds of single repeats show it; 0 if they do not.
    """

    name: str
    source: str
    ratios: tuple[float, ...]
    spread: float = 0.0


@dataclass
class Measured:
    """The tracked numbers of a folder of runs.

    Attributes
    ----------
    preset
        Name of the preset that the runs are of.
    values
        By cell and (draw, seed).
    benchmarks
        Hash of what each cell was measured with.
    failed
        By (task, regime, arm): the reason of each failed run by (draw, seed).
    planned
        Every (task, regime, arm) of the preset, measured or not.
    n_runs, n_stale
        Runs that enter, and stored ones that do not: other code or another preset computed them.
    """

    preset: str
    values: dict[Cell, dict[Repetition, float]] = field(default_factory=dict)
    benchmarks: dict[Cell, str] = field(default_factory=dict)
    failed: dict[tuple[str, str, str], dict[Repetition, str]] = field(default_factory=dict)
    planned: frozenset[tuple[str, str, str]] = frozenset()
    n_runs: int = 0
    n_stale: int = 0


def measure(root: Path, preset: Preset | None = None) -> Measured:
    """Read the runs that the present code computed of a preset, with whatever seeds.

    Parameters
    ----------
    root
        Folder of runs.
    preset
        Default: the one that the runs name.

    Raises
    ------
    ConfigError
        If the preset is not known.
    DataError
        If the folder has no run, or one cannot be read.
    """
    from mfbench.benchmarks.harness.presets import load_preset
    from mfbench.benchmarks.harness.store import RunStore

    store = RunStore(root)
    rows = store.rows()  # complains where there is none
    records = {key: store.load(key).record for key in store.current_keys()}
    if preset is None:
        names = sorted({str(record.get("preset", "")) for record in records.values()})
        if len(names) != 1:
            raise ConfigError(f"{root}: has runs of several presets ({', '.join(names)}); say which by --preset.")
        preset = load_preset(names[0])
    specs = _specs(preset)
    planned = dict(_planned(specs, records))
    measured = Measured(
        preset.name,
        planned=frozenset(_place(spec) for spec in specs),
        n_runs=len(planned),
        n_stale=len(records) - len(planned),
    )
    hashes: dict[Cell, dict[int, str]] = {}
    for key, run in planned.items():
        mine = rows[rows["run_key"] == key]
        _take(measured, hashes, run, records[key], mine)
    measured.benchmarks = {
        cell: digest({str(draw): found for draw, found in by.items()}) for cell, by in hashes.items()
    }
    return measured


def _specs(preset: Preset) -> list[RunSpec]:
    from mfbench.benchmarks.harness.plan import expand
    from mfbench.benchmarks.tasks.registry import task_names
    from mfbench.strategies.registry import arm_class, arm_names

    return expand(
        preset,
        tasks=task_names(),
        arms=arm_names(),
        needs_all_high=lambda name: arm_class(name).needs_all_high,
    )


def _planned(specs: Sequence[RunSpec], records: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, PlannedRun]]:
    """Runs of the preset, whatever their seed, whose key is what the present code would give them."""
    from mfbench.benchmarks.harness.prepare import prepare_one

    known = {digest(_without_seed(spec.cell())): spec for spec in specs}
    for key, record in records.items():
        spec = known.get(digest(_without_seed(record["cell"])))
        if spec is not None:
            run = prepare_one(replace(spec, seed=int(record["cell"]["seed"])))
            if run.key == key:
                yield key, run


def _place(spec: RunSpec) -> tuple[str, str, str]:
    return spec.task, regime_title(spec), spec.arm


def _without_seed(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in cell.items() if name != "seed"}


def regime_title(spec: RunSpec) -> str:
    """Write a regime in one line."""
    r = spec.regime
    parts = [f"n_low={r.n_low}", f"n_high={spec.n_high}", r.labels, r.pairing, r.coverage]
    parts += [f"e0={r.e0}"] if r.e0 != "default" else []
    parts += [f"selection={r.selection}"] if r.selection != "default" else []
    parts += [f"budget={spec.budget_name}"] if spec.budget_name != "default" else []
    parts += [f"core={spec.core_name}"] if spec.core_name != DEFAULT else []
    return " ".join(parts)


def _take(
    measured: Measured,
    hashes: dict[Cell, dict[int, str]],
    run: PlannedRun,
    record: Mapping[str, Any],
    rows: pd.DataFrame,
) -> None:
    """Add the numbers of one run."""
    from mfbench.benchmarks.regression.identity import benchmark_hash

    spec = run.spec
    place = _place(spec)
    at = (spec.draw, spec.seed)
    if record["status"] != "finished":
        measured.failed.setdefault(place, {})[at] = str(record.get("reason", "no reason given"))
        return
    broken = []
    for split, metric, value in _numbers(rows):
        cell = Cell(*place, split, metric)
        if not math.isfinite(value):
            broken.append(f"{metric} is {value}")
            continue
        measured.values.setdefault(cell, {})[at] = value
        hashes.setdefault(cell, {})[spec.draw] = benchmark_hash(run, metric)
    if broken:
        measured.failed.setdefault(place, {})[at] = "; ".join(broken)


def _numbers(rows: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    """(split, metric, value) of one run."""
    for split, metric, value in zip(rows["split"], rows["metric"], rows["value"], strict=True):
        if tracked(str(metric)) is not None:
            yield str(split), str(metric), float(value)
    first = rows.iloc[0]
    for column in COST_COLUMNS:
        if column in rows.columns and math.isfinite(first[column]):  # not every task knows what its labels cost
            yield "", column, float(first[column])
