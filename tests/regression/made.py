"""Baselines and measurements with known values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mfbench.benchmarks.regression.baseline import Baseline, BaselineCell
from mfbench.benchmarks.regression.measure import Cell, Measured

ARMS = ("single", "joint", "transfer", "delta", "heads")
SPLITS = ("in_coverage", "out_of_coverage")
METRICS = ("force_mae_mev_per_A", "energy_mae_mev_per_atom", "energy_detrended_mae_mev_per_atom")
REGIME = "n_low=100 n_high=200 low=EF,high=E disjoint full"


def cells() -> list[Cell]:
    return [Cell("made", REGIME, arm, split, metric) for arm in ARMS for split in SPLITS for metric in METRICS]


def values(rng: np.random.Generator, seeds: range, spread: float = 0.13, shared: float = 0.3) -> dict[Cell, dict]:
    """Errors whose logarithm scatters by `spread`, the share `shared` of its variance common to a seed's cells."""
    common = rng.normal(size=len(seeds)) * spread * np.sqrt(shared)
    found = {}
    for number, cell in enumerate(cells()):
        own = rng.normal(size=len(seeds)) * spread * np.sqrt(1 - shared)
        found[cell] = {(0, seed): float(np.exp(3 + number / 7 + common[k] + own[k])) for k, seed in enumerate(seeds)}
    return found


def measured(found: dict[Cell, dict], benchmark: str = "b") -> Measured:
    places = frozenset(cell[:3] for cell in found)
    hashes = dict.fromkeys(found, benchmark)
    return Measured("regress", found, hashes, planned=places, n_runs=len(next(iter(found.values()))) * len(places))


def baseline(found: dict[Cell, dict], benchmark: str = "b") -> Baseline:
    entries = [
        BaselineCell(**c._asdict(), benchmark=benchmark, values={f"{d}/{s}": v for (d, s), v in by.items()})
        for c, by in found.items()
    ]
    return Baseline(
        preset="regress",
        date="2026-01-01T00:00:00+00:00",
        mfbench_version="0.1.0",
        commit="abc",
        torch_version="2.13.0",
        cells=entries,
    )


def changed(found: dict[Cell, dict], change: Callable[[Cell, int, float], float]) -> dict[Cell, dict]:
    """A copy with each value replaced by change(cell, seed, value)."""
    return {c: {(d, s): change(c, s, v) for (d, s), v in by.items()} for c, by in found.items()}
