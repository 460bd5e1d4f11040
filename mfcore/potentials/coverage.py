"""Frames of a kind that no training frame was of: there a potential is extrapolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from ase.data import chemical_symbols

from mfbench.mfcore.data.batch import Batch


class Unseen(NamedTuple):
    """Frames of a batch that are unlike all of the training in one respect.

    Attributes
    ----------
    kind
        "alone", "periodic" or "molecule".
    text
        The sentence's end, which says in what they are unlike.
    frames
        Their indices in the batch, ascending.
    """

    kind: str
    text: str
    frames: tuple[int, ...]

    def sentence(self, where: str = "") -> str:
        """Say it, without a full stop; `where` names the frames and ends in a space."""
        return f"{where}{self.text}: energies and forces are extrapolated, and may be far off"


class Coverage:
    """Finds atoms without neighbours, periodic frames and molecules where the training had none.

    Parameters
    ----------
    seen
        What :func:`mfbench.mfcore.data.surroundings.surroundings` found of the training frames; of an empty one nothing
        is known, and nothing found.
    species
        Atomic numbers that the species index of a batch counts through.
    cutoff
        Å, of the edges of a batch.
    fidelity
        The one that is asked for: isolated atoms of another level tell nothing of its energies of such atoms.
    """

    def __init__(self, seen: Mapping[str, Any], species: Sequence[int], cutoff: float, fidelity: str) -> None:
        self._seen, self._cutoff, self._fidelity = seen, cutoff, fidelity
        alone = seen.get("alone", {})
        self._alone = alone.get(fidelity, []) if isinstance(alone, Mapping) else alone  # a list of all levels once
        self._symbols = [chemical_symbols[number] for number in species]

    def find(self, batch: Batch) -> list[Unseen]:
        """Return what is unlike the training, each kind once."""
        if not self._seen:
            return []
        found = []
        degrees = batch.row_pointer.diff()
        lone = torch.nonzero(degrees == 0).flatten()
        unknown = [i for i in lone.tolist() if self._symbols[int(batch.species[i])] not in self._alone]
        if unknown:
            symbols = sorted({self._symbols[int(batch.species[i])] for i in unknown})
            text = (
                f"{', '.join(symbols)} without a neighbour within {self._cutoff:.3g} Å, which no '{self._fidelity}' "
                "frame of the training has"
            )
            found.append(Unseen("alone", text, tuple(sorted({int(batch.frame[i]) for i in unknown}))))
        if self._seen["periodic"] and self._seen["molecules"]:
            return found
        images = batch.shift.ne(0.0).any(dim=1) if batch.images is None else batch.images
        repeated = set(batch.frame[batch.receiver[images]].unique().tolist())
        if not self._seen["periodic"] and repeated:
            text = "periodic images within the cutoff, which no training frame has"
            found.append(Unseen("periodic", text, tuple(sorted(repeated))))
        single = {i for i, n in enumerate(batch.n_atoms.tolist()) if n > 1} - repeated
        if not self._seen["molecules"] and self._seen["periodic"] and single:
            text = "no periodic images within the cutoff, which all training frames have"
            found.append(Unseen("molecule", text, tuple(sorted(single))))
        return found
