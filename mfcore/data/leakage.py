"""Find test geometries, or near-duplicates of them, in a training set.

Two frames are compared by their interatomic distances, so that rotation, reflection, translation and the order
of like atoms do not matter (a mirror image has the same energy: it counts as a copy). Candidates come from a
k-d tree of reduced, sorted distances per pair of elements. Each is then settled by its atoms' environments:
every atom is described by its sorted distances to the atoms of each element, like atoms are matched by the
assignment of least cost, and the root mean square of what is left is compared with the tolerance. Sorting,
averaging and matching never increase a difference, hence no copy within the tolerance is missed.

Periodic frames use minimum-image distances and the lengths and volume of the cell: a copy described by another
cell (a supercell, other lattice vectors) is not recognised.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from mfbench.mfcore.data.periodic import image_lengths, pair_distances
from mfbench.mfcore.data.splits import group_of, id_of
from mfbench.mfcore.errors import LeakageError

FloatArray = NDArray[np.float64]

#: Å, root mean square over interatomic distances. Atoms displaced by 0.01 Å each, in random directions, change
#: distances by 0.008 Å rms; frames of one MD run of five atoms or more are farther apart than this.
DUPLICATE_TOLERANCE = 0.012

#: Å; frames closer than this are one geometry, written with other digits.
SAME_GEOMETRY = 1e-4

_EIGHTH = 8  # nearest frame that tells how densely frames lie
_BLOCKS = 8  # averages kept of the sorted distances of each pair of elements
_NEIGHBOURS = 12  # nearest atoms of each element that describe an environment in a large frame
_LARGE = 48  # atoms; beyond this, far distances are many, alike in any two frames, and would hide differences


class Duplicate(NamedTuple):
    """Indices of two frames that are nearly one, and how far they are apart (Å rms)."""

    first: int
    second: int
    rms: float


def near_duplicates(
    first: Sequence[Atoms], second: Sequence[Atoms] | None = None, *, tolerance: float = DUPLICATE_TOLERANCE
) -> list[Duplicate]:
    """Find all pairs of frames that are the same geometry within a tolerance.

    Parameters
    ----------
    first, second
        Pairs have one frame of each; with `second` None, both of `first` (each pair once, first < second).
    tolerance
        Å, root mean square over interatomic distances.

    Returns
    -------
    list of Duplicate
        Sorted by indices.
    """
    found: list[Duplicate] = []
    here = _buckets(first)
    there = here if second is None else _buckets(second)
    others = first if second is None else second
    for key, indices in here.items():
        if key not in there:
            continue
        mine = np.array(indices)
        vectors = shape_vectors(first, indices)
        if second is None:
            pairs = cKDTree(vectors).query_pairs(tolerance, output_type="ndarray")
            candidates = np.sort(mine[pairs], axis=1)
        else:
            theirs = np.array(there[key])
            hits = cKDTree(shape_vectors(others, there[key])).query_ball_point(vectors, tolerance)
            rows = np.repeat(np.arange(len(mine)), [len(h) for h in hits])
            columns = np.concatenate([np.asarray(h, dtype=np.int64) for h in hits])
            candidates = np.stack([mine[rows], theirs[columns.astype(np.int64)]], axis=1)
        found.extend(_settle(first, others, candidates, tolerance))
    return sorted(found)


def sampling_tolerance(frames: Sequence[Atoms]) -> float:
    """Return the tolerance at which frames of this data set are copies rather than neighbours by chance, Å.

    In a densely sampled small molecule independent frames are closer than `DUPLICATE_TOLERANCE`. There, a quarter of
    the median distance to the eighth-nearest other frame of the same composition is the limit: copies proper are left
    out of it, and a few near-copies of each frame do not decide it.
    """
    nearest: list[float] = []
    for indices in _buckets(frames).values():
        if len(indices) < 2:
            continue
        vectors = shape_vectors(frames, indices)
        vectors = vectors[_distinct(vectors)]
        if len(vectors) > 1:
            k = min(_EIGHTH, len(vectors) - 1)
            share = 0.5 if k == 1 else 0.25
            # a median beyond the fixed tolerance is not needed: distances of twice of it and more may be infinite
            reach = 2.0 * DUPLICATE_TOLERANCE / share
            apart = cKDTree(vectors).query(vectors, k=k + 1, distance_upper_bound=reach)[0]
            nearest.extend((share * apart[:, k]).tolist())
    return min(DUPLICATE_TOLERANCE, float(np.median(nearest))) if nearest else DUPLICATE_TOLERANCE


def check_leakage(
    training_frames: Sequence[Atoms],
    test_frames: Sequence[Atoms],
    *,
    tolerance: float = DUPLICATE_TOLERANCE,
    training_name: str = "training",
    test_name: str = "test",
) -> None:
    """Refuse a split in which the training frames know the test frames.

    Raises
    ------
    LeakageError
        Naming groups that are on both sides, else structure_ids that are, else frames that are copies of each
        other within `tolerance` (Å rms over interatomic distances).
    """
    _check_names(training_frames, test_frames, training_name, test_name)
    pairs = near_duplicates(test_frames, training_frames, tolerance=tolerance)
    closest: dict[int, Duplicate] = {}
    for pair in sorted(pairs, key=lambda p: p.rms):
        closest.setdefault(pair.first, pair)
    told = [
        f"'{id_of(test_frames[p.first])}' is '{id_of(training_frames[p.second])}' ({p.rms:.4f} Å)"
        for p in closest.values()
    ]
    _refuse(told, len(test_frames), tolerance, training_name, test_name)


def check_split(
    training_frames: Sequence[Atoms],
    test_frames: Sequence[Atoms],
    copies: Sequence[tuple[str, str]],
    *,
    tolerance: float,
    names: tuple[str, str] = ("training", "test"),
) -> None:
    """Refuse as :func:`check_leakage` does, by copies (pairs of structure_ids) that are known.

    Raises
    ------
    LeakageError
        As there.
    """
    _check_names(training_frames, test_frames, *names)
    training, test = {id_of(a) for a in training_frames}, {id_of(a) for a in test_frames}
    both = [(a, b) for pair in copies for a, b in (pair, pair[::-1]) if a in test and b in training]
    _refuse([f"'{a}' is '{b}'" for a, b in dict(both).items()], len(test_frames), tolerance, *names)


def _check_names(training: Sequence[Atoms], test: Sequence[Atoms], training_name: str, test_name: str) -> None:
    training_frames, test_frames = training, test
    sides = f"the {training_name} and the {test_name} frames"
    for what, of in (("groups", group_of), ("structure_ids", id_of)):
        both = sorted({of(a) for a in training_frames} & {of(a) for a in test_frames})
        if both:
            raise LeakageError(
                f"{len(both)} {what} are in both {sides}: {_list(both)}. Frames that belong together must stay on "
                "one side: split by group."
            )


def _refuse(told: Sequence[str], n_test: int, tolerance: float, training_name: str, test_name: str) -> None:
    if told:
        raise LeakageError(
            f"{len(told)} of {n_test} {test_name} frames are near-duplicates of {training_name} frames (tolerance: "
            f"{tolerance:g} Å rms of interatomic distances): {_list(told)}. Give each the group of its original."
        )


def _list(items: Sequence[str], most: int = 8) -> str:
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def _buckets(frames: Sequence[Atoms]) -> dict[tuple[bytes, int], list[int]]:
    """Group indices of frames by composition and number of periodic directions: only such frames can be copies."""
    buckets: dict[tuple[bytes, int], list[int]] = defaultdict(list)
    for index, atoms in enumerate(frames):
        buckets[np.sort(atoms.numbers).astype(np.int64).tobytes(), int(atoms.pbc.sum())].append(index)
    return buckets


def _distances(atoms: Atoms) -> FloatArray:
    """Return distances (n, n) in Å, atoms ordered by element; to the nearest image in periodic directions."""
    n = len(atoms)
    full = np.zeros((n, n))
    full[np.triu_indices(n, 1)] = pair_distances(atoms[np.argsort(atoms.numbers, kind="stable")])
    return full + full.T


def _pairs_by_element(atoms: Atoms, i: NDArray[np.int64], j: NDArray[np.int64]) -> FloatArray:
    """Return the distances (pairs,) in Å of atoms i < j, counted by element."""
    positions = atoms.positions[np.argsort(atoms.numbers, kind="stable")]
    steps = positions.take(j, axis=0) - positions.take(i, axis=0)
    return image_lengths(steps, atoms)


def _cell_lengths(atoms: Atoms) -> FloatArray:
    """Return lengths that a rotation of a crystal leaves alone; of slabs and wires, those that repeat."""
    cell = np.asarray(atoms.cell, dtype=np.float64)
    if not atoms.pbc.all():
        return np.sort(np.linalg.norm(cell[atoms.pbc], axis=1))
    return np.append(np.sort(np.linalg.norm(cell, axis=1)), np.cbrt(abs(np.linalg.det(cell))))


def shape_vectors(frames: Sequence[Atoms], indices: Sequence[int]) -> FloatArray:
    """Return vectors (frames, k) whose Euclidean distance is at most the rms difference of the distances.

    The frames have one composition. Vectors are kept, so that the next question costs nothing.
    """
    vectors: list[FloatArray | None] = [_KEPT.find(frames[k]) for k in indices]
    missing = [place for place, known in enumerate(vectors) if known is None]
    if missing:
        fresh = _reduced([frames[indices[place]] for place in missing])
        for place, vector in zip(missing, fresh, strict=True):
            vectors[place] = vector
            _KEPT.keep(frames[indices[place]], vector)
    return np.stack([v for v in vectors if v is not None])


class _Kept:
    """Vectors of the frames that were asked about last, in this process."""

    def __init__(self, most: int) -> None:
        self._most, self._vectors = most, OrderedDict[bytes, FloatArray]()

    @staticmethod
    def _key(atoms: Atoms) -> bytes:
        content = (atoms.numbers.astype(np.int64), atoms.positions, atoms.cell.array, atoms.pbc)
        return blake2b(b"".join(np.ascontiguousarray(part).tobytes() for part in content), digest_size=16).digest()

    def find(self, atoms: Atoms) -> FloatArray | None:
        return self._vectors.get(self._key(atoms))

    def keep(self, atoms: Atoms, vector: FloatArray) -> None:
        self._vectors[self._key(atoms)] = vector
        while len(self._vectors) > self._most:
            self._vectors.popitem(last=False)


_KEPT = _Kept(100_000)  # of a few hundred bytes each


class _Layout(NamedTuple):
    """Pairs (i, j) of atoms counted by element, the columns of each pair of elements, and where their blocks begin."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    columns: list[NDArray[np.int64]]
    starts: NDArray[np.int64]


@lru_cache(maxsize=64)
def _layout(numbers: bytes) -> _Layout:
    elements = np.frombuffer(numbers, dtype=np.int64)
    i, j = np.triu_indices(len(elements), 1)
    _, pair = np.unique(elements[i] * 1000 + elements[j], return_inverse=True)
    kinds = range(int(pair.max(initial=-1)) + 1)
    columns = [np.flatnonzero(pair == p) for p in kinds]
    blocks = [b for c in columns for b in _split(len(c))]
    return _Layout(i, j, columns, np.cumsum([0, *blocks]))


def _reduced(frames: Sequence[Atoms]) -> FloatArray:
    numbers = np.sort(frames[0].numbers).astype(np.int64)
    i, j, columns, starts = _layout(numbers.tobytes())
    total = max(1, len(i) + len(_cell_lengths(frames[0])))
    out = []
    for chunk in _chunks(frames, len(numbers)):
        stacked = np.stack([_pairs_by_element(atoms, i, j) for atoms in chunk])
        ranked = np.concatenate([np.sort(stacked[:, c], axis=1) for c in columns] or [stacked], axis=1)
        means = [ranked[:, a:b].sum(axis=1) / np.sqrt((b - a) * total) for a, b in pairwise(starts)]
        lengths = np.stack([_cell_lengths(atoms) for atoms in chunk]) / np.sqrt(total)
        out.append(np.concatenate([np.array(means).reshape(len(starts) - 1, len(chunk)).T, lengths], axis=1))
    vectors = np.concatenate(out)
    return vectors if vectors.shape[1] else np.zeros((len(frames), 1))  # single atoms are all alike


def _split(count: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(count), min(count, _BLOCKS))]


def _chunks(frames: Sequence[Atoms], n_atoms: int) -> Iterator[Sequence[Atoms]]:
    step = max(1, 4_000_000 // max(1, n_atoms) ** 2)
    for start in range(0, len(frames), step):
        yield frames[start : start + step]


def _distinct(vectors: FloatArray) -> NDArray[np.bool_]:
    """Keep one of each set of vectors that are one geometry."""
    keep = np.ones(len(vectors), dtype=np.bool_)
    for i, j in cKDTree(vectors).query_pairs(SAME_GEOMETRY, output_type="ndarray"):
        if keep[i]:
            keep[j] = False
    return keep


def _settle(
    first: Sequence[Atoms], second: Sequence[Atoms], candidates: NDArray[np.int64], tolerance: float
) -> Iterator[Duplicate]:
    known: dict[tuple[bool, int], list[FloatArray]] = {}

    def environments(side: bool, index: int) -> list[FloatArray]:
        if (side, index) not in known:
            known[side, index] = _environments((second if side else first)[index])
        return known[side, index]

    for a, b in candidates.tolist():
        lengths = _cell_lengths(first[a]) - _cell_lengths(second[b])
        strain = float(np.sqrt(np.mean(lengths**2))) if lengths.size else 0.0
        if strain > tolerance:
            continue
        rms = _rms_in_order(first[a], second[b])  # an assignment: the best one is no worse
        if rms > tolerance:
            rms = _rms(environments(False, a), environments(True, b))
        if max(rms, strain) <= tolerance:
            yield Duplicate(a, b, max(rms, strain))


def _rms_in_order(first: Atoms, second: Atoms) -> float:
    """Root mean square difference of the distances of two frames whose atoms have one order; infinite for others."""
    if not np.array_equal(first.numbers, second.numbers):
        return float("inf")
    change = pair_distances(first) - pair_distances(second)
    return float(np.sqrt(np.mean(change**2))) if len(change) else 0.0


def _environments(atoms: Atoms) -> list[FloatArray]:
    """Return, for each element, its atoms' sorted distances to the atoms of each element: (atoms, k)."""
    numbers = np.sort(atoms.numbers)
    distances = _distances(atoms)
    most = _NEIGHBOURS + 1 if len(numbers) > _LARGE else len(numbers)
    elements = np.unique(numbers)
    rows = [np.sort(distances[:, numbers == e], axis=1)[:, :most] for e in elements]
    return [np.concatenate([row[numbers == e] for row in rows], axis=1) for e in elements]


def _rms(first: Sequence[FloatArray], second: Sequence[FloatArray]) -> float:
    squares, count = 0.0, 0
    for a, b in zip(first, second, strict=True):
        cost = cdist(a, b, "sqeuclidean")
        squares += float(cost[linear_sum_assignment(cost)].sum())
        count += a.shape[0] * (a.shape[1] - 1)  # an atom's distance to itself is no information
    return float(np.sqrt(squares / max(1, count)))
