"""Mixing energies, and the equation of state of a pseudo-binary alloy A(1-x)B(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

END_TOLERANCE = 1e-6
"""How far x may be from 0 or 1 in an end member."""

LEAST_VOLUMES = 5
"""Volumes that an equation of state, with its four parameters, is fitted to at least."""


def end_members(x: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which compositions are A (x = 0) and which B (x = 1).

    Raises
    ------
    ValueError
        If there is none of either, or a composition is outside 0 to 1.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or not ((values >= -END_TOLERANCE) & (values <= 1.0 + END_TOLERANCE)).all():
        raise ValueError("compositions: expected an array (n,) of numbers from 0 to 1.")
    first, last = values <= END_TOLERANCE, values >= 1.0 - END_TOLERANCE
    if not (first.any() and last.any()):
        raise ValueError("compositions: expected both end members, x = 0 and x = 1.")
    return first, last


def mixing_energies_ev_per_atom(energies: ArrayLike, n_atoms: ArrayLike, x: ArrayLike) -> Array:
    """Energy of mixing: E_mix = E(x) - (1 - x) E_A - x E_B, each per atom.

    The end members are the lowest entries at x = 0 and x = 1, of the same energies. Both have as many atoms per cation,
    so that this is linear per atom; in a nitride E_mix per cation is twice as much.

    Parameters
    ----------
    energies
        Total energies, shape (n,), eV; NaN where there is none.
    n_atoms
        Number of atoms, shape (n,).
    x
        Share of B among the cations, shape (n,).

    Returns
    -------
    array
        (n,) eV/atom; NaN where there is no energy, and everywhere if an end member has none.
    """
    per_atom = np.asarray(energies, dtype=np.float64) / np.asarray(n_atoms, dtype=np.float64)
    first, last = end_members(x)
    low, high = (np.min(per_atom[end], initial=np.inf, where=~np.isnan(per_atom[end])) for end in (first, last))
    if not np.isfinite([low, high]).all():
        return np.full_like(per_atom, np.nan)
    share = np.asarray(x, dtype=np.float64)
    return per_atom - (1.0 - share) * low - share * high


@dataclass(frozen=True)
class EquationOfState:
    """Where the energy is lowest, and how stiff the crystal is there.

    Attributes
    ----------
    volume
        Å³, for the cell of the energies.
    bulk_modulus_gpa
        GPa.
    """

    volume: float
    bulk_modulus_gpa: float


def equation_of_state(volumes: ArrayLike, energies: ArrayLike) -> EquationOfState | None:
    """Birch-Murnaghan equation of state, third order (F. Birch, Phys. Rev. 71, 809, 1947).

    It is a cubic polynomial in u = V^(-2/3), and so fitted linearly: a search for its parameters, as `ase.eos` makes,
    can get lost where there is no minimum.

    Parameters
    ----------
    volumes, energies
        Shape (n,), Å³ and eV, of one cell; at least `LEAST_VOLUMES`.

    Returns
    -------
    EquationOfState or None
        None if the energies are not finite or have no minimum between the volumes: what is fitted then says nothing.

    Raises
    ------
    ValueError
        If there are too few volumes.
    """
    from ase.units import GPa

    v, e = np.asarray(volumes, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    if v.ndim != 1 or v.shape != e.shape or len(np.unique(v)) < LEAST_VOLUMES:
        raise ValueError(f"equation of state: expected at least {LEAST_VOLUMES} volumes with an energy each.")
    if not np.isfinite(e).all():
        return None
    unit = float(v.mean())
    fit = np.polynomial.Polynomial.fit((v / unit) ** (-2 / 3), e - e.mean(), 3)
    curvature = fit.deriv(2)
    for u in _stationary(fit).tolist():
        volume = unit * u**-1.5 if u > 0.0 else 0.0
        if v.min() < volume < v.max() and curvature(u) > 0.0:
            # V d²E/dV² with du/dV = -2u/(3V), where dE/du is zero
            return EquationOfState(volume, float(4 / 9 * u**2 * curvature(u) / volume / GPa))
    return None


def _stationary(cubic: np.polynomial.Polynomial) -> Array:
    """Where a cubic polynomial has no slope.

    Its leading coefficient is nearly zero where B' is nearly 4, and the eigenvalues that `roots` takes would lose half
    of their digits there.
    """
    slope = cubic.deriv()
    c, b, a = (float(coefficient.real) for coefficient in slope.coef)
    square = b * b - 4 * a * c
    if square < 0.0:
        return np.array([])
    q = -0.5 * (b + math.copysign(math.sqrt(square), b))
    found = [over / under for over, under in ((c, q), (q, a)) if abs(under) > np.finfo(float).tiny]
    return np.asarray(np.polynomial.polyutils.mapdomain(np.array(found), slope.window, slope.domain))


def equations_of_state(
    members: Sequence[str], volumes: ArrayLike, energies: ArrayLike
) -> dict[str, EquationOfState | None]:
    """Equation of state of each crystal in a table of several.

    Parameters
    ----------
    members
        Which crystal a line is of, (n,).
    volumes, energies
        Shape (n,), Å³ and eV, each of as many atoms.

    Returns
    -------
    dict
        By crystal; None where :func:`equation_of_state` finds no minimum.

    Raises
    ------
    ValueError
        If a crystal has too few volumes.
    """
    names, v, e = np.asarray(members), np.asarray(volumes), np.asarray(energies)
    return {name: equation_of_state(v[names == name], e[names == name]) for name in dict.fromkeys(members)}
