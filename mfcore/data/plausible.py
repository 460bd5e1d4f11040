"""Which units labels can have, told by what is physically possible: bonds, forces, stresses, energies of atoms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from numpy.typing import NDArray

from mfbench.mfcore.data.frames import energy_of, has_label
from mfbench.mfcore.data.periodic import pair_distances
from mfbench.mfcore.fidelity import Label

FloatArray = NDArray[np.float64]

#: Distance of an atom's nearest neighbour over the sum of covalent radii, median of a set.
PLAUSIBLE_BONDS = (0.7, 1.5)
#: eV/Å; the root mean square of thermal forces lies in this range for molecules and solids up to thousands of K.
PLAUSIBLE_FORCE_RMS = (1e-3, 20.0)
#: eV/Å³ (160 GPa); the root mean square of the stresses of a set is smaller, but in other planets.
PLAUSIBLE_STRESS_RMS = 1.0
#: eV per atom; beyond it no total energy of an element up to uranium.
PLAUSIBLE_ENERGY = 1e5

_NOBLE = (2, 10, 18, 36, 54, 86)
_SAMPLE, _LARGEST = 200, 200
_KCAL, _KJ = units.kcal / units.mol, units.kJ / units.mol
_ENERGY_UNITS = {"eV": 1.0, "Hartree": units.Hartree, "Rydberg": units.Ry, "kcal/mol": _KCAL, "kJ/mol": _KJ}
_LENGTHS = {"Bohr": 1 / units.Bohr, "nm": 0.1, "m": 1e-10}
_ALL_ELECTRON = 0.04  # relative accuracy of the formula below, from carbon on


def bond_ratio(frames: Sequence[Atoms]) -> float:
    """Return the median distance of nearest neighbours over the sum of their covalent radii; NaN without neighbours."""
    found = []
    for atoms in frames[:: 1 + len(frames) // _SAMPLE]:
        if not 1 < len(atoms) <= _LARGEST or np.isin(atoms.numbers, _NOBLE).all():
            continue
        i, j = np.triu_indices(len(atoms), 1)
        radii = covalent_radii[atoms.numbers]
        ratios = np.full(len(atoms), np.inf)
        for ends in (i, j):
            np.minimum.at(ratios, ends, pair_distances(atoms) / (radii[i] + radii[j]))
        found.append(float(np.median(ratios)))
    return float(np.median(found)) if found else float("nan")


def length_unit(ratio: float) -> str:
    """Name the unit that positions have if bonds are longer or shorter than possible by that much; "" if they fit."""
    low, high = PLAUSIBLE_BONDS
    if np.isnan(ratio) or low <= ratio <= high:
        return ""
    fitting = [name for name, factor in _LENGTHS.items() if low <= ratio / factor <= high]
    return fitting[0] if fitting else "another unit"


def all_electron_energy(numbers: NDArray[np.int64]) -> float:
    """Return the sum of the energies of neutral atoms, eV, of a calculation with all electrons.

    -(0.76874 Z^(7/3) - Z²/2 + 0.26990 Z^(5/3)) Hartree, right within 1 % from carbon to krypton (Schwinger, Phys. Rev.
    A 22, 1827 (1980)).
    """
    z = numbers.astype(np.float64)
    return float(-units.Hartree * (0.76874 * z ** (7 / 3) - 0.5 * z**2 + 0.26990 * z ** (5 / 3)).sum())


def energy_unit(frames: Sequence[Atoms], fidelity: str) -> str:
    """Name the unit of energies that are those of all electrons, "" for others (pseudopotentials, atomization).

    Where each frame's energy is, but in different units, these are named: "eV and Hartree".
    """
    ratios = []
    for atoms in frames:
        if has_label(atoms, fidelity, Label.ENERGY) and (atoms.numbers > 5).any():
            ratios.append(energy_of(atoms, fidelity) / all_electron_energy(np.asarray(atoms.numbers)))
    if not ratios:
        return ""
    each = {_fitting_unit(ratio) for ratio in ratios}
    if len(each) > 1 and "" not in each:
        return " and ".join(name for name in _ENERGY_UNITS if name in each)
    return _fitting_unit(float(np.median(ratios)))


def _fitting_unit(ratio: float) -> str:
    """Unit in which an energy is that of all electrons, by its number over what it would be in eV; "" if none."""
    return next((name for name, unit in _ENERGY_UNITS.items() if abs(ratio * unit - 1.0) < _ALL_ELECTRON), "")
