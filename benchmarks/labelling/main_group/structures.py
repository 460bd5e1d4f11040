"""Structures of main_group: ground states of the elements, and binary compounds of the Materials Project."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import niggli_reduce

from mfbench.mfcore.data.read import read_structures

ELEMENTS = (
    *("Li", "Na", "K", "Mg", "Ca", "B", "Al", "Ga", "Si", "Ge"),
    *("C", "N", "P", "O", "S", "Se", "F", "Cl", "Br"),
)
LARGEST = 10
"""Atoms in the cell of a compound."""

STRUCTURES = Path(__file__).parent / "data" / "structures.extxyz"


@cache
def _structures() -> tuple[Atoms, ...]:
    found = read_structures(STRUCTURES)
    for atoms in found:
        niggli_reduce(atoms)  # some primitive cells have angles of 157 degrees, and take twice as many k-points
    return tuple(found)


def structures() -> list[Atoms]:
    """All structures: the elements first, then the compounds by system, the system with the most phases first.

    Returns
    -------
    list of Atoms
        In Niggli's reduced cell, with structure_id and source (an identifier of MatPES or of the Materials Project);
        compounds with the bulk and shear modulus of the Materials Project (Voigt-Reuss-Hill average, GPa, PBE).
    """
    found = [atoms.copy() for atoms in _structures()]
    phases = Counter(system_of(atoms) for atoms in found)
    return sorted(found, key=lambda a: (_is_compound(a), -phases[system_of(a)] * _is_compound(a), system_of(a)))


def n_phases() -> Counter[str]:
    """Number of compounds of each system of two elements."""
    return Counter(system_of(atoms) for atoms in _structures() if _is_compound(atoms))


def system_of(atoms: Atoms) -> str:
    """Chemical system, such as Li-Mg; an element's own name for an element."""
    return "-".join(sorted(set(atoms.get_chemical_symbols())))


def _is_compound(atoms: Atoms) -> bool:
    return len(set(atoms.get_chemical_symbols())) > 1


def k_points(atoms: Atoms, density: float) -> list[int]:
    """Divisions of a grid of k-points that has the point Γ.

    Parameters
    ----------
    density
        k-points per Å⁻¹ along each reciprocal lattice vector (with the factor 2π), at least.
    """
    lengths = 2 * math.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    return [max(1, math.ceil(density * float(length) - 1e-6)) for length in lengths]
