"""How close atoms come to each other in frames, by pair of elements."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from mfbench.mfcore.data.graphs import neighbour_list

#: How far pairs are looked for, Å.
REACH = 4.0


def pair_key(first: str, second: str) -> str:
    """Name of a pair of elements, in alphabetic order: 'Li-S'."""
    return "-".join(sorted((first, second)))


def closest_pairs(frames: Iterable[Atoms], reach: float = REACH) -> dict[str, float]:
    """Return the shortest distance of each pair of elements in any of the frames, Å, images included.

    Pairs that never come within `reach` are left out. Keys are as of :func:`pair_key`, sorted.
    """
    found: dict[tuple[int, int], float] = {}
    for atoms in frames:
        sender, receiver, shift = neighbour_list(atoms, reach)
        distances = np.linalg.norm(atoms.positions[sender] - atoms.positions[receiver] + shift, axis=1)
        kinds = np.sort(np.stack([atoms.numbers[sender], atoms.numbers[receiver]], 1), axis=1)
        pairs, place = np.unique(kinds, axis=0, return_inverse=True)
        shortest = np.full(len(pairs), np.inf)
        np.minimum.at(shortest, place.ravel(), distances)
        for (first, second), distance in zip(pairs.tolist(), shortest.tolist(), strict=True):
            found[first, second] = min(distance, found.get((first, second), np.inf))
    named = {pair_key(chemical_symbols[a], chemical_symbols[b]): distance for (a, b), distance in found.items()}
    return dict(sorted(named.items()))
