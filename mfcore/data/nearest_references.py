"""Reference energies where compositions leave a choice, and another fidelity of the same elements has isolated atoms.

With fixed stoichiometry many sets of E0 fit the energies equally well. E0 of two levels of theory differ by far less
than E0 itself, so that of all sets that fit, the one nearest to the other level's E0 is nearest to the truth; the
solution of least norm is hundreds of eV away from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms
from scipy.linalg import null_space

from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.isolated import isolated_energies_in
from mfbench.mfcore.data.reference_energies import ReferenceEnergies, composition, least_squares_energies


def nearest_energies(
    found: ReferenceEnergies, frames: Sequence[Atoms], fidelity: str, others: Mapping[str, Sequence[Atoms]]
) -> ReferenceEnergies:
    """Return the least-squares solution that is nearest to the reference energies of a fidelity with isolated atoms.

    Nothing changes where energies determine each E0, or no other fidelity has isolated atoms and determines, with them,
    the E0 of all elements in question.

    Parameters
    ----------
    found
        Least-squares reference energies of the fidelity.
    frames, fidelity
        Frames that they were fitted to.
    others
        Frames of other fidelities, by name; the first one that serves is taken.
    """
    fitted = [a for a in frames if np.isfinite(energy_of(a, fidelity))]
    counts = composition(fitted, found.species)
    free = counts.any(axis=0) & ~np.isin(found.species, found.isolated)
    null = null_space(counts[:, free].T @ counts[:, free], rcond=1e-10) if free.any() else np.zeros((0, 0))
    if not null.shape[1]:
        return found
    wanted = [number for number, one in zip(found.species, free, strict=True) if one]
    for name, theirs in others.items():
        known = _determined(theirs, name)
        if all(number in known for number in wanted):
            values = np.array(found.values)
            apart = np.array([known[number] for number in wanted]) - values[free]
            values[free] += null @ (null.T @ apart)
            return replace(found, values=tuple(float(x) for x in values), nearest_to=name)
    return found


def nearest_first(fidelities: Sequence[str], place: int) -> list[str]:
    """Return the other fidelities of a ladder, the nearest first, the more expensive one before the cheaper."""
    others = [index for index in range(len(fidelities)) if index != place]
    return [fidelities[index] for index in sorted(others, key=lambda index: (abs(index - place), -index))]


def nearest_notes(frames: Sequence[Atoms], fidelities: Sequence[str]) -> list[str]:
    """Say for which fidelities isolated atoms of another one decide between reference energies."""
    notes = []
    for place, fidelity in enumerate(fidelities):
        own = [a for a in frames if np.isfinite(energy_of(a, fidelity))]
        name = nearest_energies(_fitted(own, fidelity), own, fidelity, _by_name(frames, fidelities, place)).nearest_to
        if name:
            notes.append(
                f"compositions of '{fidelity}' leave a choice of its reference energies: arms whose network learns it "
                f"together with '{name}' take those nearest to the isolated atoms of '{name}'"
            )
    return notes


def _by_name(frames: Sequence[Atoms], fidelities: Sequence[str], place: int) -> dict[str, Sequence[Atoms]]:
    return dict.fromkeys(nearest_first(fidelities, place), frames)


def _fitted(frames: Sequence[Atoms], fidelity: str) -> ReferenceEnergies:
    """Least squares of frames that all have energies, on the elements that they have."""
    species = sorted({int(z) for a in frames for z in a.numbers})
    energies = np.array([energy_of(a, fidelity) for a in frames])
    return least_squares_energies(frames, energies, species, exact=isolated_energies_in(frames, fidelity))


def _determined(frames: Sequence[Atoms], fidelity: str) -> dict[int, float]:
    """E0 (eV) by atomic number of a fidelity that has isolated atoms: all if energies determine them, else of those."""
    if not isolated_energies_in(frames, fidelity):
        return {}
    found = _fitted([a for a in frames if np.isfinite(energy_of(a, fidelity))], fidelity)
    known = found.species if found.rank == len(found.species) else found.isolated
    return {number: value for number, value in zip(found.species, found.values, strict=True) if number in known}
