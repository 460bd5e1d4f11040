"""Formation energies, and the lower hull of all phases of a chemical system, by pymatgen's phase diagram.

Phases are mixtures of components: the elements, or compounds such as GaN and InN of which an alloy is made. Energies of
formation are relative to the components, each at its lowest energy; the hull is what the phase-separated mixture of
lowest energy has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfbench.mfcore.errors import DataError

Array = NDArray[np.float64]

TOLERANCE = 1e-6
"""How far a share of atoms may be from zero, or a composition from a mixture of its components."""


def shares_of_atoms(
    compositions: Sequence[Mapping[str, float]], components: Sequence[Mapping[str, float]] | None = None
) -> tuple[Array, list[str]]:
    """Share of the atoms of each phase that belong to each component.

    Parameters
    ----------
    compositions
        Number of atoms by element, of each phase.
    components
        The same of each component; default: the elements that occur, by the alphabet.

    Returns
    -------
    tuple
        Shares (n, k), of which each row sums to one, and the names of the components.

    Raises
    ------
    DataError
        If a phase is no mixture of the components, or is one in several ways.
    """
    elements = sorted({element for composition in (*compositions, *(components or ())) for element in composition})
    if not elements or not compositions:
        raise DataError("phases: there are none.")
    atoms = np.array([[float(c.get(e, 0.0)) for e in elements] for c in compositions])
    atoms /= atoms.sum(axis=1, keepdims=True)
    if components is None:
        return atoms, elements
    parts = np.array([[float(c.get(e, 0.0)) for e in elements] for c in components])
    parts /= parts.sum(axis=1, keepdims=True)
    names = [_formula(c) for c in components]
    if np.linalg.matrix_rank(parts, tol=TOLERANCE) < len(parts):
        raise DataError(f"phases: the components {', '.join(names)} are mixtures of each other.")
    shares = np.linalg.lstsq(parts.T, atoms.T, rcond=None)[0].T
    off = np.abs(shares @ parts - atoms).max(axis=1)
    bad = np.flatnonzero((off > TOLERANCE) | (shares.min(axis=1) < -TOLERANCE))
    if len(bad):
        raise DataError(f"phases: {_formula(compositions[int(bad[0])])} is no mixture of {', '.join(names)}.")
    shares[np.abs(shares) < TOLERANCE] = 0.0
    return shares / shares.sum(axis=1, keepdims=True), names


def pure(shares: ArrayLike) -> NDArray[np.bool_]:
    """Say which phases, (n,), are of one component alone; shares (n, k)."""
    return np.asarray(np.asarray(shares, dtype=np.float64).max(axis=1) > 1.0 - TOLERANCE)


def formation_energies_ev_per_atom(shares: ArrayLike, energies: ArrayLike) -> Array:
    """Energy of formation from the components, each at the lowest of the given energies.

    Parameters
    ----------
    shares
        Of the atoms, (n, k).
    energies
        eV/atom, (n,); NaN where there is none.

    Returns
    -------
    array
        (n,) eV/atom; NaN where the phase, or a component in it, has no energy.
    """
    x, values = np.asarray(shares, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    given = ~np.isnan(values)
    ends = np.full(x.shape[1], np.nan)
    for k in range(x.shape[1]):
        own = values[given & (x[:, k] > 1.0 - TOLERANCE)]
        if len(own):
            ends[k] = own.min()
    mixtures: Array = np.array([float(row[row > 0.0] @ ends[row > 0.0]) for row in x])
    return values - mixtures


def distances_to_hull_ev_per_atom(shares: ArrayLike, formation: ArrayLike) -> Array:
    """Distance of each phase from the hull of all, by pymatgen's `PhaseDiagram` of the components that are in it.

    Parameters
    ----------
    shares
        Of the atoms, (n, k); every component of a phase is itself among the phases.
    formation
        Energies of formation, eV/atom, (n,), finite.

    Returns
    -------
    array
        (n,) eV/atom, none of them negative.

    Raises
    ------
    DataError
        If an energy is not finite, or a component is not among the phases.
    """
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core.composition import Composition
    from pymatgen.core.periodic_table import DummySpecies

    x, values = np.asarray(shares, dtype=np.float64), np.asarray(formation, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError("phases: the hull needs a finite energy of every phase.")
    inside = x > 0.0
    components: list[Any] = [DummySpecies(f"X{_letters(k)}") for k in range(x.shape[1])]
    entries = [
        PDEntry(Composition({components[k]: float(row[k]) for k in np.flatnonzero(row)}), float(value))
        for row, value in zip(x, values, strict=True)
    ]
    missing = inside.any(axis=0) & ~(x > 1.0 - TOLERANCE).any(axis=0)
    if missing.any():
        raise DataError(f"phases: component {int(np.flatnonzero(missing)[0])} of some phases is not a phase itself.")
    found = np.empty(len(x))
    for support in np.unique(inside, axis=0):
        mine = (inside == support).all(axis=1)
        among = ~(inside & ~support).any(axis=1)
        diagram = PhaseDiagram(
            [entry for entry, kept in zip(entries, among, strict=True) if kept],
            [component for component, kept in zip(components, support, strict=True) if kept],
        )
        for place in np.flatnonzero(mine):
            above = diagram.get_e_above_hull(entries[int(place)])
            found[place] = max(0.0, above or 0.0)
    return found


def _letters(number: int) -> str:
    """A suffix of small letters, another for each number below 676."""
    return chr(97 + number // 26) + chr(97 + number % 26)


def _formula(composition: Mapping[str, float]) -> str:
    return "".join(f"{element}{'' if count == 1 else f'{count:g}'}" for element, count in composition.items())
