"""Do energies, forces and stresses of a set belong together? Told from neighbouring frames, without a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, stress_of
from mfbench.mfcore.fidelity import Label

#: Least r² and number of neighbouring pairs of frames for which the result is trusted.
_LEAST_R2, _LEAST_PAIRS = 0.8, 10
_SAMPLE = 300  # pairs of each composition
_DISTANCE = 0.25  # Å rms; beyond it the trapezoid rule says nothing
_LARGEST = 60  # atoms of a frame
_MOST_COMPARED = 2000  # frames among which a periodic frame's neighbour is looked for
_GPA = 1 / units.GPa


def energy_force_slope(frames: Sequence[Atoms], fidelity: str) -> float:
    """Return the slope of energy differences against -force times displacement, between neighbouring frames.

    Pairs are the nearest frames of one composition with the same order of atoms, molecules turned onto each other;
    the work is taken by the trapezoid rule. 1 means that energies, forces and positions have units that belong
    together and that forces are not gradients. NaN if there are too few such pairs, or the rule does not hold for
    them.
    """
    return work_agreement(frames, fidelity)[0]


def work_agreement(frames: Sequence[Atoms], fidelity: str) -> tuple[float, float]:
    """Return the energy-force slope and the missing pressure, GPa; NaN where there is nothing to tell it from.

    Least squares of the energy difference on the work of forces and stress and, for pairs of cells of different
    volume, on the volume difference. The coefficient of the latter is a pressure that the stress lacks: the Pulay
    stress of a plane-wave basis that is not converged, with the opposite sign.
    """
    by_species: dict[tuple[bytes, bool], list[Atoms]] = {}
    for atoms in frames:
        labelled = all(has_label(atoms, fidelity, x) for x in (Label.ENERGY, Label.FORCES))
        if labelled and 1 < len(atoms) <= _LARGEST:
            key = atoms.numbers.astype(np.int64).tobytes(), bool(atoms.pbc.any())
            by_species.setdefault(key, []).append(atoms)
    rows: list[tuple[float, float, float]] = []  # work, change of volume, change of energy
    for (_, periodic), members in by_species.items():
        if len(members) > 1:
            rows += _crystal_pairs(members, fidelity) if periodic else _molecule_pairs(members, fidelity)
    nothing = float("nan")
    if len(rows) < _LEAST_PAIRS:
        return nothing, nothing
    work, volume, change = np.array(rows).T
    strained = bool(np.ptp(volume) > 0)
    if not (work @ work > 0 and change @ change > 0):
        return nothing, nothing
    columns = np.stack([work, volume], axis=1) if strained else work[:, None]
    answer = np.linalg.lstsq(columns, change, rcond=None)[0]
    left = change - columns @ answer
    if 1 - float(left @ left) / float(change @ change) <= _LEAST_R2:
        return nothing, nothing
    return float(answer[0]), float(answer[1]) * _GPA if strained else nothing


def _molecule_pairs(members: Sequence[Atoms], fidelity: str) -> list[tuple[float, float, float]]:
    """Work of the forces, 0, and change of energy (eV) between molecules and their nearest neighbours."""
    rows = []
    distances = np.stack([pdist(a.positions) for a in members]) / np.sqrt(len(pdist(members[0].positions)))
    apart, nearest = cKDTree(distances).query(distances, k=2)
    for i in range(0, len(members), 1 + len(members) // _SAMPLE):
        d, j = apart[i, 1], nearest[i, 1]
        if 1e-4 < d < _DISTANCE:
            a, b = members[i], members[int(j)]
            first, second = (x.positions - x.positions.mean(axis=0) for x in (a, b))
            turn, rssd = Rotation.align_vectors(first, second)  # takes b's frame to a's
            if rssd / np.sqrt(len(a)) > _DISTANCE:
                continue  # mirror images
            mean_force = 0.5 * (forces_of(a, fidelity) + turn.apply(forces_of(b, fidelity)))
            work = -float((mean_force * (turn.apply(second) - first)).sum())
            rows.append((work, 0.0, energy_of(b, fidelity) - energy_of(a, fidelity)))
    return rows


def _crystal_pairs(members: Sequence[Atoms], fidelity: str) -> list[tuple[float, float, float]]:
    """Work of forces and stress (eV), change of volume (Å³) and of energy (eV) between cells and their neighbours.

    The path is straight in fractional coordinates and cell; a pair with different cells needs the stress of both.
    """
    members = members[:: 1 + len(members) // _MOST_COMPARED]
    cells = np.stack([a.cell.array for a in members])
    fractions = np.stack([a.get_scaled_positions(wrap=False) for a in members])
    volumes = np.linalg.det(cells)
    stressed = np.array([has_label(a, fidelity, Label.STRESS) for a in members])
    rows = []
    for i in range(0, len(members), 1 + len(members) // _SAMPLE):
        steps = fractions - fractions[i]
        mean_cells = (cells + cells[i]) / 2
        steps = (steps - np.round(steps)) @ mean_cells
        steps -= steps.mean(axis=1, keepdims=True)
        strains = np.linalg.solve(mean_cells, cells - cells[i])
        strains = (strains + strains.transpose(0, 2, 1)) / 2
        # A strain moves the points of a cell of length L by L/√12 times it, root mean square.
        by_strain = np.linalg.norm(strains, axis=(1, 2)) ** 2 * np.abs(volumes) ** (2 / 3) / 12
        apart = np.sqrt((steps**2).sum(axis=2).mean(axis=1) + by_strain)
        usable = (apart > 1e-4) & ((by_strain < 1e-12) | (stressed & stressed[i]))
        apart[~usable] = np.inf
        j = int(np.argmin(apart))
        if not apart[j] < _DISTANCE:
            continue
        a, b = members[i], members[j]
        work = -0.5 * float(((forces_of(a, fidelity) + forces_of(b, fidelity)) * steps[j]).sum())
        if by_strain[j] >= 1e-12:
            virial = [abs(volumes[k]) * stress_of(members[k], fidelity) for k in (i, j)]
            work += 0.5 * float(((virial[0] + virial[1]) * strains[j]).sum())
        grown = float(abs(volumes[j]) - abs(volumes[i])) if by_strain[j] >= 1e-12 else 0.0
        rows.append((work, grown, energy_of(b, fidelity) - energy_of(a, fidelity)))
    return rows
