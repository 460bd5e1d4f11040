"""Drift of the total energy in constant-energy dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class EnergyDrift:
    """Linear regression of the total energy per atom on time.

    Attributes
    ----------
    drift_meV_per_atom_per_ps
        Slope.
    fluctuation_meV_per_atom
        Root mean square about the line.
    n
        Number of records.
    """

    drift_meV_per_atom_per_ps: float
    fluctuation_meV_per_atom: float
    n: int


def ps_of_ase_time(time: ArrayLike) -> np.ndarray:
    """Time in ps of a time in ASE's unit, Å √(amu/eV) = 10.18 fs; `ase.md` counts in the latter."""
    from ase import units

    return np.asarray(time, dtype=np.float64) / (1000.0 * units.fs)


def energy_drift(time_ps: ArrayLike, total_energy_eV: ArrayLike, n_atoms: int) -> EnergyDrift:
    """Drift of the total (potential plus kinetic) energy of one trajectory.

    Parameters
    ----------
    time_ps
        (T,) ps; from `ase.md` by way of :func:`ps_of_ase_time`.
    total_energy_eV
        (T,) eV.
    n_atoms
        Atoms of the frame.

    Returns
    -------
    EnergyDrift
        NaN for fewer than three records.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite (a trajectory beyond its failure), or all times are the same.
    """
    time, energy = np.asarray(time_ps, dtype=np.float64), np.asarray(total_energy_eV, dtype=np.float64)
    if time.ndim != 1 or time.shape != energy.shape:
        raise ValueError(f"energy drift: expected one energy a time, got {energy.shape} and {time.shape}.")
    if not (np.isfinite(time).all() and np.isfinite(energy).all()):
        raise ValueError("energy drift: a number is not finite; give the trajectory up to its failure only.")
    if len(time) < 3:
        return EnergyDrift(float("nan"), float("nan"), len(time))
    x = time - time.mean()
    if not (x != 0).any():
        raise ValueError("energy drift: all times are the same.")
    y = 1000.0 * (energy - energy.mean()) / n_atoms
    slope = float((x @ y) / (x @ x))
    return EnergyDrift(slope, float(np.sqrt(np.mean((y - slope * x) ** 2))), len(time))
