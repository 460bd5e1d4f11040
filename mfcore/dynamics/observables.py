"""Transport from simulations: only what survived is looked at, and how much that was stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mfcore.dynamics.results import DynamicsRun
from mfcore.dynamics.trajectory import Trajectory, read_trajectory
from mfcore.errors import ConfigError
from mfcore.metrics.transport import Diffusion, diffusion


@dataclass(frozen=True)
class Transport:
    """Diffusion at one temperature.

    Attributes
    ----------
    temperature_K
        K.
    diffusion
        Of the replicas that survived; None if none did.
    number_density_per_A3
        Atoms of the species per Å³; NaN if none survived.
    n_survived, n
        Survivors, and replicas that survived or failed (errors are neither).
    """

    temperature_K: float
    diffusion: Diffusion | None
    number_density_per_A3: float
    n_survived: int
    n: int


def transport(run: DynamicsRun, temperature_K: float, symbol: str, **options: Any) -> Transport:
    """Diffusion of an element at one temperature.

    Parameters
    ----------
    run
        With trajectories, from frames of one composition.
    temperature_K
        One of its temperatures.
    symbol
        Element.
    options
        Of :func:`~mfcore.metrics.transport.diffusion`: blocks, lags, equilibration.

    Raises
    ------
    ConfigError
        If the run wrote no trajectories, or the survivors are of different compositions or cells.
    ValueError
        If the trajectories are too short, see :func:`~mfcore.metrics.transport.diffusion`.
    """
    decided = [r for r in run.results if r.temperature_K == temperature_K and r.status != "error"]
    alive = [_trajectory(run, r.replica) for r in decided if r.status == "survived"]
    if not alive:
        return Transport(temperature_K, None, float("nan"), 0, len(decided))
    first = alive[0]
    if any(not np.array_equal(t.numbers, first.numbers) or not np.allclose(t.cell, first.cell) for t in alive):
        raise ConfigError("transport: replicas of different composition or cell have no common diffusivity.")
    species = atomic_numbers[symbol]
    found = _diffusion(alive, species, options)
    density = int((first.numbers == species).sum()) / first.volume
    return Transport(temperature_K, found, density, len(alive), len(decided))


def transport_records(run: DynamicsRun, symbol: str, **options: Any) -> list[dict[str, Any]]:
    """One line a replica, for a table of diffusivities; NaN for those that did not survive. See :func:`transport`."""
    species, lines = atomic_numbers[symbol], []
    for result in run.results:
        survived = result.status == "survived"
        found = _diffusion([_trajectory(run, result.replica)], species, options) if survived else None
        lines.append(
            {
                "temperature_k": result.temperature_K,
                "replica": result.replica,
                "species": symbol,
                "diffusivity_cm2_per_s": found.diffusivity_cm2_per_s if found else float("nan"),
                "diffusivity_stderr_cm2_per_s": found.stderr_cm2_per_s if found else float("nan"),
                "n_blocks": found.n_blocks if found else 0,
                "time_ps": result.time_ps,
                "survived": survived,
            }
        )
    return lines


def _trajectory(run: DynamicsRun, replica: int) -> Trajectory:
    if replica not in run.trajectories:
        raise ConfigError("transport: this run wrote no trajectories; simulate with trajectories=True.")
    return read_trajectory(run.trajectories[replica])


def _diffusion(trajectories: list[Trajectory], species: int, options: dict[str, Any]) -> Diffusion:
    first = trajectories[0]
    interval = float(first.time_ps[1] - first.time_ps[0]) if len(first.time_ps) > 1 else float("nan")
    masses = atomic_masses[first.numbers]
    return diffusion([t.positions for t in trajectories], interval, first.numbers, masses, species, **options)
