"""Periodic directions: cells that can be, minimum images, and atoms at one place.

Any direction may be periodic or not: none (molecules), one (wires), two (slabs) or three (crystals).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import NamedTuple

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

_FLAT = 1e-4  # volume over the product of the vectors' lengths, beyond which a cell has three directions
_AT_ONCE = 16_384  # vectors whose images are compared at once, so that they stay in the processor's cache

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
    a, b, c = cell
    if abs(a @ _cross(b, c)) > _FLAT * np.sqrt((a @ a) * (b @ b) * (c @ c)):
        return cell
    if np.linalg.matrix_rank(cell) < 3:
        cell[~np.asarray(atoms.pbc, dtype=bool)] = 0.0
        cell = np.asarray(complete_cell(cell))
    return cell


def _cross(b: FloatArray, c: FloatArray) -> FloatArray:
    """Return the cross product of two vectors; `numpy.cross` takes ten times as long for one pair."""
    return np.array([b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]])


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
    pbc = np.asarray(atoms.pbc, dtype=bool)
    if not pbc.any():
        return _coincident_points(atoms.positions)
    cell = whole_cell(atoms)
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


def _coincident_points(points: FloatArray) -> tuple[int, int, float] | None:
    if len(points) < 2:
        return None
    found = cKDTree(points).query_pairs(COINCIDENT, output_type="ndarray")
    distances = np.linalg.norm(points[found[:, 0]] - points[found[:, 1]], axis=1)
    near = np.flatnonzero(distances < COINCIDENT)
    if not len(near):
        return None
    best = near[np.argmin(distances[near])]
    return int(found[best, 0]), int(found[best, 1]), float(distances[best])


def pair_distances(atoms: Atoms) -> FloatArray:
    """Return the distances in Å of all pairs i < j, in the order of `numpy.triu_indices`, to the nearest image.

    The cell of the periodic directions is reduced (Minkowski), so that the nearest image is next to the wrapped one
    (Nguyen and Stehle, ACM Trans. Algorithms 5, 46 (2009)); cells at right angles need no search.
    """
    i, j = np.triu_indices(len(atoms), 1)
    return image_lengths(atoms.positions[j] - atoms.positions[i], atoms)


def image_lengths(steps: FloatArray, atoms: Atoms) -> FloatArray:
    """Return the lengths (P,) in Å of vectors (P, 3) to the nearest of their periodic images in a frame."""
    pbc = np.asarray(atoms.pbc, dtype=bool)
    if not pbc.any():
        return np.asarray(np.sqrt(np.einsum("pi,pi->p", steps, steps)))
    lattice = _lattice(whole_cell(atoms).tobytes(), tuple(pbc.tolist()))
    fractions = steps @ lattice.inverse
    fractions[:, pbc] -= np.round(fractions[:, pbc])
    wrapped = fractions @ lattice.vectors
    squares = np.einsum("pi,pi->p", wrapped, wrapped)
    if len(lattice.images):
        sizes = lattice.sizes[:, None]
        far = np.flatnonzero(squares > 0.25 * sizes.min())  # what is nearer than half the shortest vector is nearest
        for start in range(0, len(far), _AT_ONCE):
            part = far[start : start + _AT_ONCE]
            gain = lattice.images @ wrapped[part].T
            np.abs(gain, out=gain)
            gain *= -2.0
            gain += sizes
            squares[part] += np.minimum(gain.min(axis=0), 0.0)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


class _Lattice(NamedTuple):
    """A reduced cell with its inverse, and the images next to it with their squared lengths; right angles need none."""

    vectors: FloatArray
    inverse: FloatArray
    images: FloatArray
    sizes: FloatArray


@lru_cache(maxsize=256)
def _lattice(cell: bytes, periodic: tuple[bool, bool, bool]) -> _Lattice:
    pbc = np.array(periodic)
    upright = np.frombuffer(cell).reshape(3, 3).copy()
    upright[~pbc] = 0.0  # nothing repeats there: at right angles, so that wrapping moves along periodic directions only
    upright = np.asarray(complete_cell(upright))
    # shortest first: then most cells are reduced as they are, which is seen sooner than made
    lengths = np.where(pbc, np.einsum("ki,ki->k", upright, upright), 0.0)
    order = np.flatnonzero(pbc)[np.argsort(lengths[pbc], kind="stable")]
    upright[pbc] = upright[order]
    reduced = np.asarray(minkowski_reduce(upright, pbc=pbc)[0])
    gram = reduced[pbc] @ reduced[pbc].T
    skewed = np.abs(gram - np.diag(np.diag(gram))).max() > 1e-10 * np.diag(gram).max()
    images = _HALF[~_HALF[:, ~pbc].any(axis=1)] @ reduced if skewed else np.zeros((0, 3))
    return _Lattice(reduced, np.linalg.inv(reduced), images, np.einsum("ki,ki->k", images, images))
