"""Periodic directions: cells that can be, minimum images, and atoms at one place.

Any direction may be periodic or not: none (molecules), one (wires), two (slabs) or three (crystals).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell, minkowski_reduce
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]

#: Å; two atoms closer than this are at one place: no calculation of a level of theory is so.
COINCIDENT = 0.05
#: Å; positions and cells beyond are no length in Å.
LARGEST_LENGTH = 1e7
#: Å, Å³; a lattice vector of a periodic direction, or the volume of an atom's share of a crystal, below this is none.
SHORTEST_VECTOR, LEAST_VOLUME = 0.5, 0.5

# One of each pair of opposite images next to a cell.
_HALF = np.array([n for n in product((-1, 0, 1), repeat=3) if n > (0, 0, 0)])


def cell_problem(atoms: Atoms) -> tuple[str, str] | None:
    """Say why the cell and the periodic directions of a frame cannot be, and what to do; None if they can.

    The same words wherever a frame comes in: files, calculators, predictions, relaxations and dynamics.
    """
    cell = np.asarray(atoms.cell.array, dtype=np.float64)
    pbc = np.asarray(atoms.pbc, dtype=bool)
    if not np.isfinite(cell).all():
        return "a component of the cell is not a finite number.", "Give the three vectors in Å."
    if not pbc.any():
        return None
    lengths = np.linalg.norm(cell, axis=1)
    if lengths.max() > LARGEST_LENGTH:
        return f"a lattice vector of {lengths.max():.3g} Å.", "Give lengths in Å."
    axes = "abc"
    for axis in np.flatnonzero(pbc):
        if lengths[axis] == 0:
            return (
                f"pbc is true along {axes[axis]} and that lattice vector is zero.",
                "Give the cell, or set pbc to false in that direction.",
            )
        if lengths[axis] < SHORTEST_VECTOR:
            return f"a lattice vector of {lengths[axis]:.3g} Å.", "Give lengths in Å."
    part = cell[pbc]
    size = float(np.sqrt(max(np.linalg.det(part @ part.T), 0.0)))  # length, area or volume that repeats
    if size < 1e-4 * float(np.prod(lengths[pbc])):
        return "the frame is periodic and its cell has no volume.", "Give the cell, or pbc='F F F'."
    if pbc.all() and size < LEAST_VOLUME * len(atoms):
        return f"a volume of {size / len(atoms):.3g} Å³ an atom.", "Give lengths in Å."
    return None


def whole_cell(atoms: Atoms) -> FloatArray:
    """Return the cell (3, 3) in Å; directions that are not periodic and have no vector get one at right angles.

    Nothing repeats along a vector that is made up.
    """
    cell = np.array(atoms.cell.array, dtype=np.float64)
    if np.linalg.matrix_rank(cell) < 3:
        cell[~np.asarray(atoms.pbc, dtype=bool)] = 0.0
        cell = np.asarray(complete_cell(cell))
    return cell


def repeated_volume(atoms: Atoms) -> float:
    """Return the volume in Å³ of a cell with a periodic direction and three vectors; NaN if there is none."""
    if not atoms.pbc.any():
        return float("nan")
    volume = abs(float(np.linalg.det(np.asarray(atoms.cell.array))))
    return volume if volume > 0 else float("nan")


def near_origin(atoms: Atoms) -> Atoms:
    """Return the same frame with its atoms near the origin: moved as a whole, and wrapped along periodic directions.

    Distances of atoms that are far from the origin would be differences of large numbers in single precision.
    """
    moved: Atoms = atoms.copy()
    pbc = np.asarray(atoms.pbc, dtype=bool)
    moved.positions -= moved.positions.mean(axis=0)
    if pbc.any():
        upright = np.array(atoms.cell.array, dtype=np.float64)
        upright[~pbc] = 0.0
        upright = np.asarray(complete_cell(upright))
        images = np.round(moved.positions @ np.linalg.inv(upright))
        images[:, ~pbc] = 0.0
        moved.positions -= images @ upright
    return moved


def coincident(atoms: Atoms) -> tuple[int, int, float] | None:
    """Return two atoms at one place, images included, and their distance in Å; None if there are none."""
    cell, pbc = whole_cell(atoms), np.asarray(atoms.pbc, dtype=bool)
    inverse = np.linalg.inv(cell)
    fractions = atoms.positions @ inverse
    fractions[:, pbc] -= np.floor(fractions[:, pbc])
    fractions[fractions >= 1.0] -= np.where(pbc[None, :].repeat(len(atoms), 0), 1.0, 0.0)[fractions >= 1.0]
    scale = 1.0 / np.linalg.norm(inverse, axis=0)  # heights of the cell: lengths along a direction are at least so
    points = fractions * scale
    box = np.where(pbc, scale, 0.0)  # 0: not periodic
    points = np.where(pbc & (points >= box), 0.0, points)
    found = cKDTree(points, boxsize=box).query_pairs(2 * COINCIDENT, output_type="ndarray")
    best: tuple[int, int, float] | None = None
    for i, j in found:
        step = fractions[i] - fractions[j]
        step[pbc] -= np.round(step[pbc])
        distance = float(np.linalg.norm(step @ cell))
        if distance < COINCIDENT and (best is None or distance < best[2]):
            best = int(i), int(j), distance
    return best


def pair_distances(atoms: Atoms) -> FloatArray:
    """Return the distances in Å of all pairs i < j, in the order of `numpy.triu_indices`, to the nearest image.

    The cell of the periodic directions is reduced (Minkowski), so that the nearest image is next to the wrapped one
    (Nguyen and Stehle, ACM Trans. Algorithms 5, 46 (2009)); cells at right angles need no search.
    """
    i, j = np.triu_indices(len(atoms), 1)
    steps = atoms.positions[j] - atoms.positions[i]
    return image_lengths(steps, whole_cell(atoms), np.asarray(atoms.pbc, dtype=bool))


def image_lengths(steps: FloatArray, cell: FloatArray, pbc: NDArray[np.bool_]) -> FloatArray:
    """Return the lengths (P,) in Å of vectors (P, 3) to the nearest of their periodic images."""
    if not pbc.any():
        return np.asarray(np.sqrt(np.einsum("pi,pi->p", steps, steps)))
    upright = cell.copy()
    upright[~pbc] = 0.0  # nothing repeats there: at right angles, so that wrapping moves along periodic directions only
    reduced, _ = minkowski_reduce(np.asarray(complete_cell(upright)), pbc=pbc)
    fractions = steps @ np.linalg.inv(reduced)
    fractions[:, pbc] -= np.round(fractions[:, pbc])
    wrapped = fractions @ reduced
    squares = np.einsum("pi,pi->p", wrapped, wrapped)
    gram = reduced[pbc] @ reduced[pbc].T
    skewed = np.abs(gram - np.diag(np.diag(gram))).max() > 1e-10 * np.diag(gram).max()
    if skewed:
        images = _HALF[~_HALF[:, ~pbc].any(axis=1)] @ reduced
        sizes = np.einsum("ki,ki->k", images, images)
        far = np.flatnonzero(squares > 0.25 * sizes.min())  # what is nearer than half the shortest vector is nearest
        gain = (sizes - 2 * np.abs(wrapped[far] @ images.T)).min(axis=1)
        squares[far] += np.minimum(gain, 0.0)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
