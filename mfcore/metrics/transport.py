"""Diffusion from mean-squared displacements, its activation energy, and the conductivity that it gives.

Only trajectories that survived belong here: after an explosion atoms move far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfbench.mfcore.metrics.intervals import standard_error, t_quantile

Array = NDArray[np.float64]

BOLTZMANN_EV_PER_K = 8.617333262e-5
BOLTZMANN_J_PER_K = 1.380649e-23
CHARGE_C = 1.602176634e-19
CM2_PER_S = 1e-4
"""One Å²/ps in cm²/s."""


@dataclass(frozen=True)
class Diffusion:
    """Self-diffusion of one species at one temperature.

    Attributes
    ----------
    diffusivity_cm2_per_s, stderr_cm2_per_s
        Mean over blocks, and its standard error (NaN for a single block).
    blocks_cm2_per_s
        Of each block; a block without net growth may be negative.
    n_blocks, n_trajectories, n_atoms
        What it is a mean over; atoms of the species in one frame.
    lag_ps
        Lags between which the mean-squared displacement was fitted, ps.
    """

    diffusivity_cm2_per_s: float
    stderr_cm2_per_s: float
    blocks_cm2_per_s: Array
    n_blocks: int
    n_trajectories: int
    n_atoms: int
    lag_ps: tuple[float, float]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval over the blocks, cm²/s; NaN for a single block."""
        if self.n_blocks < 2:
            return float("nan"), float("nan")
        reach = t_quantile(level, self.n_blocks - 1) * self.stderr_cm2_per_s
        return self.diffusivity_cm2_per_s - reach, self.diffusivity_cm2_per_s + reach


def without_drift(positions: ArrayLike, masses: ArrayLike) -> Array:
    """Unwrapped positions (T, n, 3) relative to the centre of mass (masses (n,)) of all atoms."""
    table, weight = np.asarray(positions, dtype=np.float64), np.asarray(masses, dtype=np.float64)
    centre = np.einsum("tnx,n->tx", table, weight / weight.sum())
    return np.asarray(table - centre[:, None, :])


def mean_squared_displacement(positions: ArrayLike, lags: Sequence[int]) -> Array:
    """Mean over atoms and time origins of |r(t + lag) - r(t)|², Å².

    Parameters
    ----------
    positions
        (T, n, 3) Å, unwrapped, at equal intervals.
    lags
        In frames, each at least 1 and below T.
    """
    table = np.asarray(positions, dtype=np.float64)
    return np.array([np.square(table[lag:] - table[:-lag]).sum(2).mean() for lag in lags])


def displacements_by_species(
    positions: ArrayLike, numbers: ArrayLike, masses: ArrayLike, lags: Sequence[int]
) -> dict[int, Array]:
    """Mean-squared displacement of each element (atomic number) at some lags, drift of all atoms removed, Å²."""
    table, kinds = without_drift(positions, masses), np.asarray(numbers)
    return {int(z): mean_squared_displacement(table[:, kinds == z], lags) for z in np.unique(kinds)}


def diffusion(
    trajectories: Sequence[ArrayLike],
    interval_ps: float,
    numbers: ArrayLike,
    masses: ArrayLike,
    species: int,
    *,
    n_blocks: int = 5,
    fit: tuple[float, float] = (0.1, 0.5),
    equilibration: float = 0.1,
    n_lags: int = 20,
) -> Diffusion:
    """Self-diffusion coefficient by the Einstein relation, MSD = 6 D t + constant, with block errors.

    Each trajectory is cut into blocks; each block gives a slope, and the blocks of all trajectories the mean and its
    standard error. Blocks have to be longer than the jumps are correlated, and the constant takes what atoms rattle.

    Parameters
    ----------
    trajectories
        Survivors of one cell at one temperature: each (T, n, 3) Å, unwrapped.
    interval_ps
        Between frames, ps.
    numbers, masses
        (n,) atomic numbers, and amu.
    species
        Atomic number of what diffuses.
    n_blocks
        Per trajectory.
    fit
        Lags of the fit, as fractions of a block.
    equilibration
        Fraction of each trajectory that is left out at its start.
    n_lags
        How many lags are fitted at most.

    Raises
    ------
    ValueError
        If there is no trajectory, a position is not finite, the species is not there, or blocks are too short.
    """
    kinds = np.asarray(numbers) == species
    if not len(trajectories) or not kinds.any():
        raise ValueError(f"diffusion: no surviving trajectory, or no atom of atomic number {species} in it.")
    slopes: list[float] = []
    bounds = (0.0, 0.0)
    for trajectory in trajectories:
        table = np.asarray(trajectory, dtype=np.float64)
        if not np.isfinite(table).all():
            raise ValueError("diffusion: a position is not finite; give trajectories that survived only.")
        moving = without_drift(table[int(equilibration * len(table)) :], masses)[:, kinds]
        size = len(moving) // n_blocks
        first, last = max(1, round(fit[0] * size)), round(fit[1] * size)
        if last - first < 2:
            raise ValueError(
                f"diffusion: blocks of {size} frames are too short for a fit between lags {first} and {last}; "
                "record more often, run longer, or take fewer blocks."
            )
        lags = np.unique(np.linspace(first, last, min(n_lags, last - first + 1)).round().astype(int)).tolist()
        bounds = (first * interval_ps, last * interval_ps)
        times = interval_ps * np.asarray(lags)
        for k in range(n_blocks):
            squares = mean_squared_displacement(moving[k * size : (k + 1) * size], lags)
            slopes.append(float(np.polyfit(times, squares, 1)[0]))
    blocks = np.array(slopes) / 6.0 * CM2_PER_S
    error = standard_error(blocks) if len(blocks) > 1 else float("nan")
    count = int(kinds.sum())
    return Diffusion(float(blocks.mean()), error, blocks, len(blocks), len(trajectories), count, bounds)


@dataclass(frozen=True)
class Arrhenius:
    """ln D = ln D0 - Ea / kT, fitted to several temperatures.

    Attributes
    ----------
    activation_energy_eV, activation_low_eV, activation_high_eV
        With its interval.
    log_prefactor
        ln of D0 in cm²/s.
    covariance
        (2, 2) of (ln D0, Ea).
    degrees_of_freedom
        Of Student's t; infinite for two temperatures, where the errors of D alone make the interval.
    level
        Of the intervals.
    """

    activation_energy_eV: float
    activation_low_eV: float
    activation_high_eV: float
    log_prefactor: float
    covariance: Array
    degrees_of_freedom: float
    level: float

    def diffusivity(self, temperature_K: float) -> tuple[float, float, float]:
        """Diffusivity in cm²/s at any temperature, with the bounds of its interval."""
        row = np.array([1.0, -1.0 / (BOLTZMANN_EV_PER_K * temperature_K)])
        middle = float(row @ [self.log_prefactor, self.activation_energy_eV])
        reach = _quantile(self.level, self.degrees_of_freedom) * float(np.sqrt(row @ self.covariance @ row))
        with np.errstate(over="ignore"):
            return float(np.exp(middle)), float(np.exp(middle - reach)), float(np.exp(middle + reach))


def _quantile(level: float, freedom: float) -> float:
    from scipy import special

    return t_quantile(level, freedom) if np.isfinite(freedom) else float(special.ndtri(0.5 + level / 2))


def arrhenius(diffusions: Mapping[float, Diffusion], level: float = 0.95) -> Arrhenius:
    """Activation energy from diffusion at several temperatures.

    Least squares of ln D on 1/T, weighted by the relative errors of D. The covariance is scaled up (never down) by
    the scatter about the line, and with three or more temperatures Student's t has n - 2 degrees of freedom.

    Parameters
    ----------
    diffusions
        By temperature, K.
    level
        Of the intervals.

    Raises
    ------
    ValueError
        If there are fewer than two temperatures, or a diffusivity is not positive or has no error.
    """
    temperatures = np.array(sorted(diffusions))
    if len(temperatures) < 2:
        raise ValueError("arrhenius: expected at least two temperatures.")
    values = np.array([diffusions[t].diffusivity_cm2_per_s for t in temperatures])
    errors = np.array([diffusions[t].stderr_cm2_per_s for t in temperatures])
    if not ((values > 0).all() and (errors > 0).all()):
        raise ValueError(
            "arrhenius: every diffusivity has to be positive and to have an error; "
            "leave out temperatures at which nothing moved."
        )
    relative = errors / values
    design = np.stack([np.ones_like(temperatures), -1.0 / (BOLTZMANN_EV_PER_K * temperatures)], 1)
    weighted, target = design / relative[:, None], np.log(values) / relative
    solution = np.linalg.lstsq(weighted, target, rcond=None)[0]
    covariance = np.linalg.inv(weighted.T @ weighted)
    freedom = float(len(temperatures) - 2) if len(temperatures) > 2 else np.inf
    if len(temperatures) > 2:
        covariance = covariance * max(1.0, float(np.square(target - weighted @ solution).sum()) / freedom)
    reach = _quantile(level, freedom) * float(np.sqrt(covariance[1, 1]))
    energy = float(solution[1])
    return Arrhenius(energy, energy - reach, energy + reach, float(solution[0]), covariance, freedom, level)


def conductivity_mS_per_cm(
    diffusivity_cm2_per_s: float, number_density_per_A3: float, temperature_K: float, charge: float = 1.0
) -> float:
    """Ionic conductivity by Nernst-Einstein, n q² D / kT, mS/cm; correlations of the ions are left out.

    Parameters
    ----------
    diffusivity_cm2_per_s
        Of the ions, cm²/s.
    number_density_per_A3
        Ions per Å³.
    temperature_K
        K.
    charge
        Of an ion, in elementary charges.
    """
    siemens_per_m = (
        number_density_per_A3
        * 1e30
        * (charge * CHARGE_C) ** 2
        * (diffusivity_cm2_per_s * 1e-4)
        / (BOLTZMANN_J_PER_K * temperature_K)
    )
    return siemens_per_m * 10.0


@dataclass(frozen=True)
class Conductivity:
    """Ionic conductivity extrapolated to one temperature.

    Attributes
    ----------
    conductivity_mS_per_cm, low_mS_per_cm, high_mS_per_cm
        With its interval.
    temperature_K
        K.
    extrapolated
        Whether the temperature is outside of those that were simulated.
    """

    conductivity_mS_per_cm: float
    low_mS_per_cm: float
    high_mS_per_cm: float
    temperature_K: float
    extrapolated: bool


def conductivity(
    diffusions: Mapping[float, Diffusion],
    number_density_per_A3: float,
    temperature_K: float = 300.0,
    *,
    charge: float = 1.0,
    level: float = 0.95,
) -> Conductivity:
    """Conductivity at a temperature by the Arrhenius line through several others, see :func:`arrhenius`."""
    values = arrhenius(diffusions, level).diffusivity(temperature_K)
    middle, low, high = (conductivity_mS_per_cm(d, number_density_per_A3, temperature_K, charge) for d in values)
    outside = not min(diffusions) <= temperature_K <= max(diffusions)
    return Conductivity(middle, low, high, temperature_K, outside)
