"""Fate of each replica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mfbench.mfcore.metrics.drift import EnergyDrift, energy_drift
from mfbench.mfcore.metrics.survival import Lifetime

Status = Literal["failure", "survived", "error"]

#: Columns of a series.
SERIES = ("time_ps", "potential_eV", "kinetic_eV", "temperature_K")


@dataclass(frozen=True)
class ReplicaResult:
    """How one replica ended.

    Attributes
    ----------
    replica, name, group
        Its number, the frame that it started from, and the group of that frame.
    temperature_K
        Target.
    n_atoms
        Number of atoms.
    status
        "failure": a criterion was met. "survived": it reached the physical-time limit (right-censored). "error": the
        engine failed or the wall clock ran out, which says nothing about the potential and is counted as neither.
    mode
        Of a failure, the criterion; of an error "engine" or "wall_clock"; else None.
    time_ps
        Physical time at the end.
    message
        What the engine said, for an error.
    """

    replica: int
    name: str
    group: str
    temperature_K: float
    n_atoms: int
    status: Status
    mode: str | None
    time_ps: float
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class DynamicsRun:
    """Results of a simulation, in the order of its starts.

    Attributes
    ----------
    results
        One a replica.
    series
        By replica number, records up to its end, (T, 4): the columns `SERIES`.
    trajectories
        By replica number, extended XYZ with unwrapped positions; empty if none were asked for.
    n_force_evaluations
        Of single replicas.
    wall_s
        Wall time, that of interrupted parts included.
    """

    results: tuple[ReplicaResult, ...]
    series: dict[int, np.ndarray]
    trajectories: dict[int, Path] = field(default_factory=dict)
    n_force_evaluations: int = 0
    wall_s: float = 0.0

    def with_status(self, status: Status) -> tuple[ReplicaResult, ...]:
        """Replicas that ended so."""
        return tuple(r for r in self.results if r.status == status)

    @property
    def pass_rate(self) -> float:
        """Survivors among the replicas that failed or survived; NaN if there are none."""
        return pass_rate(self.results)

    def lifetimes(self, temperature_K: float | None = None) -> list[Lifetime]:
        """Lifetimes for `mfbench.mfcore.metrics.survival`, of all replicas or those at one temperature."""
        return [
            Lifetime(r.time_ps, r.status, r.group, r.mode)
            for r in self.results
            if temperature_K is None or r.temperature_K == temperature_K
        ]

    def records(self, limit_ps: float) -> list[dict[str, Any]]:
        """One line a replica, for a table of survival times up to a limit in ps."""
        return [
            {
                "temperature_k": r.temperature_K,
                "replica": r.replica,
                "start": r.name,
                "time_ps": r.time_ps,
                "limit_ps": limit_ps,
                "status": r.status,
                "mode": r.mode or "",
            }
            for r in self.results
        ]

    def drift(self, replica: int) -> EnergyDrift:
        """Drift of the total energy of a replica; meaningful in NVE only."""
        table = self.series[replica]
        n_atoms = next(r.n_atoms for r in self.results if r.replica == replica)
        return energy_drift(table[:, 0], table[:, 1] + table[:, 2], n_atoms)


def pass_rate(results: Sequence[ReplicaResult]) -> float:
    """Survivors among the replicas that failed or survived; NaN if there are none."""
    decided = [r.status == "survived" for r in results if r.status != "error"]
    return float(np.mean(decided)) if decided else float("nan")
