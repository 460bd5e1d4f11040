"""Which surroundings atoms have in frames: alone or not, with periodic images or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from mfbench.mfcore.data.graphs import neighbour_list


def surroundings(frames: Mapping[str, Iterable[Atoms]], cutoff: float) -> dict[str, Any]:
    """Count frames by their surroundings.

    Parameters
    ----------
    frames
        By fidelity.
    cutoff
        Å; atoms that are closer than this are neighbours.

    Returns
    -------
    dict
        `alone`: by fidelity, symbols of the elements of which some atom has no neighbour; `periodic`: number of frames
        in which an atom has a neighbour across a periodic boundary; `molecules`: number of the others, isolated atoms
        apart.
    """
    alone, counts = {fidelity: set[int]() for fidelity in frames}, {"periodic": 0, "molecules": 0}
    for fidelity, own in frames.items():
        for atoms in own:
            _, receiver, shift = neighbour_list(atoms, cutoff)
            without = np.bincount(receiver, minlength=len(atoms)) == 0
            alone[fidelity] |= set(np.asarray(atoms.numbers)[without].tolist())
            if shift.any():
                counts["periodic"] += 1
            elif len(atoms) > 1:
                counts["molecules"] += 1
    return {"alone": {f: [chemical_symbols[n] for n in sorted(found)] for f, found in alone.items()}, **counts}
