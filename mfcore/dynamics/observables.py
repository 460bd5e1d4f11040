"""Transport from simulations: only what survived is looked at, and how much that was stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from mfbench.mfcore.dynamics.results import DynamicsRun
from mfbench.mfcore.dynamics.trajectory import Trajectory, read_trajectory
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.metrics.intervals import standard_error
from mfbench.mfcore.metrics.transport import Diffusion, diffusion, displacements_by_species


@dataclass(frozen=True)
class Transport:
    """Diffusion of one element at one temperature.

    Attributes
    ----------
    temperature_K
        K.
    symbol
        Element.
    trajectories, diffusions
        Of the replicas that survived, by replica number.
    n
        Replicas that survived or failed (errors are neither).
    """

    temperature_K: float
    symbol: str
    trajectories: Mapping[int, Trajectory]
    diffusions: Mapping[int, Diffusion]
    n: int

    @property
    def n_survived(self) -> int:
        """Survivors."""
        return len(self.trajectories)

    @property
    def pooled(self) -> Diffusion | None:
        """Over the blocks of all survivors, whose cells need not be alike; None if none survived."""
        if not self.diffusions:
            return None
        parts = list(self.diffusions.values())
        blocks = np.concatenate([part.blocks_cm2_per_s for part in parts])
        return Diffusion(
            diffusivity_cm2_per_s=float(blocks.mean()),
            stderr_cm2_per_s=standard_error(blocks) if len(blocks) > 1 else float("nan"),
            blocks_cm2_per_s=blocks,
            n_blocks=len(blocks),
            n_trajectories=len(parts),
            n_atoms=parts[0].n_atoms,
            lag_ps=parts[0].lag_ps,
        )

    @property
    def number_densities_per_A3(self) -> list[float]:
        """Atoms of the element per Å³ in each survivor."""
        species = atomic_numbers[self.symbol]
        return [float((t.numbers == species).sum()) / t.volume for t in self.trajectories.values()]

    def displacements(self, lags: Sequence[int], equilibration: float = 0.1) -> dict[str, NDArray[np.float64]]:
        """Mean-squared displacements of each element in the survivors that have it.

        Parameters
        ----------
        lags
            In records.
        equilibration
            Fraction of each trajectory that is left out at its start.

        Returns
        -------
        dict
            By element, (n_trajectories, n_lags) Å².
        """
        found: dict[str, list[NDArray[np.float64]]] = {}
        for trajectory in self.trajectories.values():
            positions = trajectory.positions[int(equilibration * len(trajectory.positions)) :]
            masses = atomic_masses[trajectory.numbers]
            for number, squares in displacements_by_species(positions, trajectory.numbers, masses, lags).items():
                found.setdefault(chemical_symbols[number], []).append(squares)
        return {symbol: np.array(values) for symbol, values in sorted(found.items())}


def transport_at(run: DynamicsRun, temperature_K: float, symbol: str, **options: Any) -> Transport:
    """Diffusion of an element at one temperature.

    Parameters
    ----------
    run
        With trajectories.
    temperature_K
        One of its temperatures.
    symbol
        Element.
    options
        Of :func:`~mfbench.mfcore.metrics.transport.diffusion`: blocks, lags, equilibration.

    Raises
    ------
    ConfigError
        If the run wrote no trajectories.
    ValueError
        If the trajectories are too short or lack the element, see :func:`~mfbench.mfcore.metrics.transport.diffusion`.
    """
    decided = [r for r in run.results if r.temperature_K == temperature_K and r.status != "error"]
    alive = {r.replica: _trajectory(run, r.replica) for r in decided if r.status == "survived"}
    own = {replica: _diffusion(trajectory, symbol, options) for replica, trajectory in alive.items()}
    return Transport(temperature_K, symbol, alive, own, len(decided))


def transport_records(run: DynamicsRun, symbol: str, diffusions: Mapping[int, Diffusion]) -> list[dict[str, Any]]:
    """One line a replica, for a table of diffusivities.

    Parameters
    ----------
    symbol
        Element that diffuses.
    diffusions
        By replica number; the lines of replicas that are not there have NaN.
    """
    nothing = float("nan")
    lines = []
    for result in run.results:
        own = diffusions.get(result.replica)
        lines.append(
            {
                "temperature_k": result.temperature_K,
                "replica": result.replica,
                "species": symbol,
                "diffusivity_cm2_per_s": own.diffusivity_cm2_per_s if own else nothing,
                "diffusivity_stderr_cm2_per_s": own.stderr_cm2_per_s if own else nothing,
                "n_blocks": own.n_blocks if own else 0,
                "time_ps": result.time_ps,
                "survived": result.status == "survived",
            }
        )
    return lines


def _trajectory(run: DynamicsRun, replica: int) -> Trajectory:
    if replica not in run.trajectories:
        raise ConfigError("transport: this run wrote no trajectories; simulate with trajectories=True.")
    return read_trajectory(run.trajectories[replica])


def _diffusion(trajectory: Trajectory, symbol: str, options: dict[str, Any]) -> Diffusion:
    times = trajectory.time_ps
    interval = float(times[1] - times[0]) if len(times) > 1 else float("nan")
    masses = atomic_masses[trajectory.numbers]
    species = atomic_numbers[symbol]
    return diffusion([trajectory.positions], interval, trajectory.numbers, masses, species, **options)
