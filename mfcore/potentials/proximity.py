"""Atoms that are closer than those of any training frame: there a potential is extrapolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from ase.data import chemical_symbols
from torch import Tensor

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.closest import pair_key

#: Share of the shortest distance in training below which atoms are too close: thermal extremes of frames like those of
#: the training lie a few percent below its shortest distances.
NEARER = 0.9


class TooClose(NamedTuple):
    """A pair of atoms in a batch.

    Attributes
    ----------
    pair
        Its elements, 'Li-Li'.
    distance, known
        Å; its distance, and the shortest one in training.
    frame, frames
        Indices of its frame in the batch, and of all frames that have a pair that is too close.
    """

    pair: str
    distance: float
    known: float
    frame: int
    frames: tuple[int, ...]

    def sentence(self, where: str = "") -> str:
        """Say it, without a full stop; `where` names the frames."""
        return (
            f"{self.pair.replace('-', ' and ')} are {self.distance:.2f} Å apart{where}, in training "
            f"{self.known:.2f} Å at least: energies and forces are extrapolated, and may be far off"
        )


class Proximity:
    """Finds pairs that are closer than `NEARER` times the shortest distance of their elements in training.

    Parameters
    ----------
    closest
        By pair of elements, the shortest distance in training, Å (:func:`mfbench.mfcore.data.closest.closest_pairs`);
        of a pair that is not in it nothing is known, and nothing found.
    species
        Atomic numbers that the species index of a batch counts through.
    """

    def __init__(self, closest: Mapping[str, float], species: Sequence[int]) -> None:
        symbols = [chemical_symbols[number] for number in species]
        self._pairs = [[pair_key(first, second) for second in symbols] for first in symbols]
        self._known = torch.tensor([[closest.get(pair, 0.0) for pair in row] for row in self._pairs])
        self._limits: Tensor | None = None

    def find(self, batch: Batch) -> TooClose | None:
        """Return the pair that is too close by the largest factor; None if none is."""
        if not len(batch.sender):
            return None
        if self._limits is None or self._limits.device != batch.positions.device:
            self._limits = (NEARER * self._known).square().to(batch.positions.device)
        steps = batch.positions[batch.sender] - batch.positions[batch.receiver] + batch.shift
        first, second = batch.species[batch.sender], batch.species[batch.receiver]
        ratios = self._limits[first, second] / steps.square().sum(1)
        close = torch.nonzero(ratios > 1.0).flatten()
        if not len(close):
            return None
        worst = int(ratios.argmax())
        one, other = int(first[worst]), int(second[worst])
        frame = batch.frame[batch.receiver]
        return TooClose(
            self._pairs[one][other],
            float(steps[worst].norm()),
            float(self._known[one, other]),
            int(frame[worst]),
            tuple(frame[close].unique().tolist()),
        )
