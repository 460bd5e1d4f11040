"""Size and power of the check by simulation: how often it cries wolf, and how small a wolf it sees.

A baseline and its re-runs are drawn again and again from a population of seeds: normal, with the mean and covariance
over all arms, splits and metrics that recorded seeds have (so that what the arms share in a seed stays), or recorded
seeds themselves, drawn with replacement (so that their tails stay). Each draw goes through the check as real runs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mfbench.benchmarks.regression.baseline import Baseline, BaselineCell
from mfbench.benchmarks.regression.judge import ALL_ARMS, Verdict, compare
from mfbench.benchmarks.regression.measure import Cell, Measured
from mfbench.benchmarks.regression.tracked import tracked

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[np.float64]
Kind = Literal["normal", "resampled"]


@dataclass(frozen=True)
class Population:
    """Logarithms of the tracked metrics of recorded seeds, shape (seeds, cells)."""

    cells: tuple[Cell, ...]
    logs: Array

    def draw(self, rng: np.random.Generator, n: int, kind: Kind) -> Array:
        """Draw the logarithms of n seeds, shape (n, cells)."""
        mean, m = self.logs.mean(axis=0), len(self.logs)
        if kind == "resampled":
            # The spread of a sample with replacement is that of the seeds about their own mean: too small by this.
            return mean + (self.logs[rng.integers(m, size=n)] - mean) * np.sqrt(m / (m - 1))
        # Sums of the seeds' deviations with normal weights have just their covariance, whatever its rank.
        return mean + rng.normal(size=(n, m)) @ (self.logs - mean) / np.sqrt(m - 1)


def population(values: Mapping[Cell, Mapping[tuple[int, int], float]]) -> Population:
    """Collect the seeds that all scattering metrics have.

    Raises
    ------
    ValueError
        If there are fewer than three.
    """
    scattering = {c: v for c, v in values.items() if (known := tracked(c.metric)) and known.group != "cost"}
    common = sorted(set.intersection(*(set(v) for v in scattering.values()))) if scattering else []
    if len(common) < 3:
        raise ValueError(f"population: {len(common)} seeds have all metrics; expected at least 3.")
    logs = np.log(np.array([[scattering[cell][at] for cell in scattering] for at in common]))
    return Population(tuple(scattering), logs)


def as_baseline(cells: Sequence[Cell], logs: Array, preset: str = "simulated") -> Baseline:
    """Make a baseline of drawn seeds."""
    entries = [
        BaselineCell(
            **cell._asdict(), benchmark="", values={f"0/{s}": float(v) for s, v in enumerate(np.exp(logs[:, column]))}
        )
        for column, cell in enumerate(cells)
    ]
    return Baseline(preset=preset, date="", mfbench_version="", commit=None, torch_version="", cells=entries)


def as_measured(cells: Sequence[Cell], logs: Array, first_seed: int, preset: str = "simulated") -> Measured:
    """Make a measurement of drawn seeds."""
    values = {
        cell: {(0, first_seed + s): float(v) for s, v in enumerate(np.exp(logs[:, column]))}
        for column, cell in enumerate(cells)
    }
    return Measured(preset, values, dict.fromkeys(values, ""), planned=frozenset(cell[:3] for cell in values))


@dataclass(frozen=True)
class Rates:
    """Rates that were found.

    Attributes
    ----------
    false_alarms
        Probability that a re-run of unchanged code with new seeds raises any alarm.
    two_in_twenty
        Probability that two or more of 20 re-runs against one baseline do.
    power
        Probability that a worsening of all force errors is found by the average over arms, by (relative change,
        "new seeds" or "same seeds"): same seeds with nothing in common with their old values but the seed's mean
        difficulty would be as good as new ones, so that half of the variance is taken as kept.
    """

    false_alarms: float
    two_in_twenty: float
    power: dict[tuple[float, str], float]


def rates(
    seeds: Population,
    rng: np.random.Generator,
    *,
    n_baseline: int,
    n_new: int,
    trials: int,
    kind: Kind = "normal",
    reruns: int = 20,
    changes: Sequence[float] = (0.05, 0.1, 0.2),
) -> Rates:
    """Simulate `trials` baselines, each with `reruns` re-runs of unchanged code and a run of each changed one."""
    alarms = np.zeros((trials, reruns), dtype=bool)
    seen = {(change, mode): 0 for change in changes for mode in ("new seeds", "same seeds")}
    force = np.array([cell.metric.startswith("force") for cell in seeds.cells])
    for trial in range(trials):
        old = seeds.draw(rng, n_baseline, kind)
        baseline = as_baseline(seeds.cells, old)
        for rerun in range(reruns):
            fresh = as_measured(seeds.cells, seeds.draw(rng, n_new, kind), n_baseline)
            alarms[trial, rerun] = any(f.verdict is Verdict.worse for f in compare(baseline, fresh))
        for change, mode in seen:
            drawn = seeds.draw(rng, n_new, kind)
            if mode == "same seeds":
                centre = seeds.logs.mean(axis=0)
                drawn = centre + np.sqrt(0.5) * (old[:n_new] - centre) + np.sqrt(0.5) * (drawn - centre)
            logs = drawn + force * np.log1p(change)
            findings = compare(baseline, as_measured(seeds.cells, logs, 0 if mode == "same seeds" else n_baseline))
            found = [f for f in findings if f.group == ALL_ARMS and f.metric.startswith("force")]
            seen[change, mode] += any(f.verdict is Verdict.worse for f in found)
    return Rates(
        float(alarms.mean()),
        float((alarms.sum(axis=1) >= 2).mean()),
        {key: count / trials for key, count in seen.items()},
    )
