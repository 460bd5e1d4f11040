"""Normal numbers of each replica, as a function of (seed, replica, stream, step) and of nothing else.

The generator is counter-based (Philox; Salmon et al., SC11, 2011): there is no state to carry, so a replica sees the
same numbers alone or in a batch, whatever happens to the others, and a run that goes on sees what it would have seen.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.data.graphs import to_device

#: Steps whose numbers are drawn at once.
BLOCK = 64

VELOCITIES, THERMOSTAT = 0, 1


def normals(seed: int, replica: int, stream: int, block: int, shape: tuple[int, ...]) -> np.ndarray:
    """Independent standard normal numbers.

    Parameters
    ----------
    seed, replica
        Key of the generator, each below 2⁶⁴.
    stream
        What the numbers are for.
    block
        Number of the block in its stream.
    shape
        Of the result.
    """
    bits = np.random.Philox(
        key=np.array([seed, replica], dtype=np.uint64), counter=np.array([0, 0, block, stream], dtype=np.uint64)
    )
    return np.random.Generator(bits).standard_normal(shape)


class ReplicaNoise:
    """The thermostat's numbers of several replicas, one (A, 3) tensor a step.

    Parameters
    ----------
    seed
        Of the simulation.
    replicas
        Number of each replica.
    sizes
        Atoms of each.
    device
        Where the tensors are wanted.
    """

    def __init__(self, seed: int, replicas: list[int], sizes: list[int], device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._members = list(zip(replicas, sizes, strict=True))
        self._block, self._values = -1, torch.empty(0)

    def keep(self, which: list[int]) -> None:
        """Go on with some of the replicas only."""
        self._members = [self._members[k] for k in which]
        self._block = -1

    def at(self, step: int) -> Tensor:
        """Numbers of a step, (A, 3) float64."""
        block, row = divmod(step, BLOCK)
        if block != self._block:
            parts = [normals(self._seed, r, THERMOSTAT, block, (BLOCK, n, 3)) for r, n in self._members]
            self._values = to_device(torch.from_numpy(np.concatenate(parts, axis=1)), self._device)
            self._block = block
        return self._values[row]
