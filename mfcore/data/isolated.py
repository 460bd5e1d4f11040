"""Isolated atoms: frames of one atom that has no neighbour, whose energies are reference energies exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.periodic import whole_cell

#: Å; an image that is farther away is no neighbour.
ALONE = 6.0


def is_isolated(atoms: Atoms) -> bool:
    """Tell if a frame is a single atom without a neighbour, in vacuum or in a box of at least `ALONE`."""
    if len(atoms) != 1:
        return False
    if not atoms.pbc.any():
        return True
    heights = 1.0 / np.linalg.norm(np.linalg.inv(whole_cell(atoms)), axis=0)
    return bool((heights[np.asarray(atoms.pbc)] >= ALONE).all())


def isolated_notes(frames: Sequence[Atoms], fidelities: Sequence[str]) -> list[str]:
    """Say which isolated atoms with an energy there are, by fidelity."""
    notes, found = [], dict[str, str]()
    for fidelity in fidelities:
        alone = [a for a in frames if is_isolated(a) and np.isfinite(energy_of(a, fidelity))]
        if alone:
            symbols = found[fidelity] = ", ".join(sorted({a.get_chemical_symbols()[0] for a in alone}))
            notes.append(
                f"isolated atoms of '{fidelity}' ({symbols}) set its reference energies, and none of them is held out"
            )
    if found and (without := [name for name in fidelities if name not in found]):
        missing, given = (" and ".join(f"'{name}'" for name in names) for names in (without, found))
        notes.append(
            f"{given} has isolated atoms and {missing} has none: arms that learn one level after the other have to "
            "learn the difference of their zeros of energy, too; give isolated atoms at each level, or at none"
        )
    return notes


def isolated_energies_in(frames: Sequence[Atoms], fidelity: str) -> dict[int, float]:
    """Return the energies (eV) of isolated atoms by atomic number; the lowest where there are several (spin states)."""
    found: dict[int, float] = {}
    for atoms in frames:
        energy = energy_of(atoms, fidelity) if is_isolated(atoms) else np.nan
        if np.isfinite(energy):
            number = int(atoms.numbers[0])
            found[number] = min(energy, found.get(number, np.inf))
    return found
