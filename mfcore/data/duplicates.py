"""Copies within a data set: frames that must stay together, small displacements that need not, and contradictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mfbench.mfcore.data.frames import energy_of, fidelities_in
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, Duplicate, near_duplicates, sampling_tolerance, shape_vectors
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import DataError

#: eV per atom; energies of one geometry that differ by more contradict each other.
SAME_ENERGY = 1e-3
_STILL, _MOVED = 1e-5, 5e-4  # Å; an atom that was not displaced, and one that was
_MOST_MOVED = 2  # atoms: one displaced in each of two frames
_CROWD, _CROWDED = 8, 0.8  # frames around one geometry, and their share of all of that composition

Told = Callable[[str, int, int], None]
"""Called with the name of a part, the number of frames that are done, and of all."""


@dataclass(frozen=True)
class Copies:
    """Near-duplicates in a data set.

    Attributes
    ----------
    pairs
        Frames that are copies of each other.
    tolerance
        Å rms of interatomic distances, within which frames were looked for.
    displaced
        Pairs within it that are told apart: small displacements from one geometry.
    """

    pairs: tuple[Duplicate, ...]
    tolerance: float
    displaced: int

    def note(self, frames: Sequence[Atoms]) -> list[str]:
        """Return sentences that name the copies and the tolerance."""
        found = []
        if self.pairs:
            named = [
                f"'{id_of(frames[p.first])}' and '{id_of(frames[p.second])}' ({p.rms:.2g} Å)" for p in self.pairs[:3]
            ]
            more = f" and {len(self.pairs) - 3} more" if len(self.pairs) > 3 else ""
            found.append(
                f"{len(self.pairs)} pairs are near-duplicates within {self.tolerance:.2g} Å rms of distances and stay "
                f"in one group: {', '.join(named)}{more}"
            )
        if self.displaced:
            found.append(
                f"{self.displaced} pairs within {self.tolerance:.2g} Å rms are told apart: small displacements from "
                "one geometry, as of a phonon calculation"
            )
        return found


def find_copies(frames: Sequence[Atoms], told: Told | None = None) -> Copies:
    """Find the near-duplicates among frames, at a tolerance that is scaled to the data.

    Frames that differ in the places of one or two atoms and agree in all others are displacements on purpose (finite
    differences) and no copies. Where nearly all frames of one composition lie within the tolerance of each other, they
    are a cloud of small displacements around one geometry, and half their median distance is the tolerance.
    """
    describe(frames, told)
    tolerance = sampling_tolerance(frames)
    found = near_duplicates(frames, tolerance=tolerance)
    copies = [p for p in found if not _displaced_on_purpose(frames[p.first], frames[p.second])]
    kept = _outside_clouds(frames, copies)
    return Copies(tuple(kept), tolerance, len(found) - len(kept))


def describe(frames: Sequence[Atoms], told: Told | None = None) -> None:
    """Compute what copies and time series are found by, once a process, and tell how far it is."""
    kinds: dict[tuple[bytes, int], list[int]] = defaultdict(list)
    for index, atoms in enumerate(frames):
        kinds[np.sort(atoms.numbers).astype(np.int64).tobytes(), int(atoms.pbc.sum())].append(index)
    done = 0
    for indices in kinds.values():
        size = max(1, 200_000 // len(frames[indices[0]]) ** 2)
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            shape_vectors(frames, part)
            done += len(part)
            if told is not None:
                told("distances", done, len(frames))


def _displaced_on_purpose(first: Atoms, second: Atoms) -> bool:
    if not np.array_equal(first.numbers, second.numbers) or len(first) <= 2 * _MOST_MOVED:
        return False
    if not np.allclose(first.cell.array, second.cell.array, atol=1e-8):
        return False
    steps = np.linalg.norm(second.positions - first.positions, axis=1)
    moved = steps > _STILL
    return bool(0 < moved.sum() <= _MOST_MOVED and steps.max() > _MOVED)


def _outside_clouds(frames: Sequence[Atoms], pairs: Sequence[Duplicate]) -> list[Duplicate]:
    if not pairs:
        return []
    n = len(frames)
    edges = np.array([(p.first, p.second) for p in pairs])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    _, member = connected_components(graph, directed=False)
    kind = [(np.sort(a.numbers).tobytes(), int(a.pbc.sum())) for a in frames]
    of_kind: dict[tuple[bytes, int], int] = defaultdict(int)
    for k in kind:
        of_kind[k] += 1
    sizes = np.bincount(member)
    by_component: dict[int, list[Duplicate]] = defaultdict(list)
    for p in pairs:
        by_component[int(member[p.first])].append(p)
    kept: list[Duplicate] = []
    for component, inside in by_component.items():
        if sizes[component] < max(_CROWD, _CROWDED * of_kind[kind[inside[0].first]]):
            kept += inside
            continue
        nearest: dict[int, float] = {}
        for p in inside:
            for index in (p.first, p.second):
                nearest[index] = min(nearest.get(index, p.rms), p.rms)
        apart = [d for d in nearest.values() if d > SAME_GEOMETRY / 100]  # copies proper are left out of the median
        limit = 0.5 * float(np.median(apart)) if apart else float("inf")
        kept += [p for p in inside if p.rms <= limit]
    return sorted(kept)


def check_contradictions(frames: Sequence[Atoms], pairs: Sequence[Duplicate], file: str | None = None) -> None:
    """Refuse frames that are one geometry and have two energies of one fidelity.

    Raises
    ------
    DataError
        Naming both frames and their energies.
    """
    for p in pairs:
        first, second = frames[p.first], frames[p.second]
        if p.rms > SAME_GEOMETRY:
            continue
        for fidelity in fidelities_in([first]):
            check_one_energy(first, second, fidelity, file)


def check_one_energy(first: Atoms, second: Atoms, fidelity: str, file: str | None = None) -> None:
    """Refuse two frames of one geometry whose energies contradict each other.

    Raises
    ------
    DataError
        Naming both frames and their energies.
    """
    one, other = energy_of(first, fidelity), energy_of(second, fidelity)
    if abs(one - other) > SAME_ENERGY * len(first):
        raise DataError(
            f"'{id_of(first)}' and '{id_of(second)}' are one geometry with two energies, {one:.6g} and {other:.6g} eV "
            f"(of '{fidelity}').",
            file=file,
            hint="Keep one of them.",
        )
