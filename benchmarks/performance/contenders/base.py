"""The network as a benchmark needs it: batches from frames, and energies and forces from a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms

#: Turns frame numbers into a batch in the network's own format.
Batcher = Callable[[Sequence[int]], Any]


@dataclass(frozen=True)
class Labelled:
    """Frames of one level of theory.

    Attributes
    ----------
    frames
        B frames, without labels or calculator.
    energies
        (B,) eV.
    forces
        By frame, (n, 3) eV/Å.
    """

    frames: Sequence[Atoms]
    energies: np.ndarray
    forces: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def species(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return sorted({int(z) for atoms in self.frames for z in atoms.numbers})

    @property
    def energy_per_atom(self) -> float:
        """Mean energy per atom, eV."""
        return float(self.energies.sum() / sum(len(atoms) for atoms in self.frames))

    @property
    def force_rms(self) -> float:
        """Root mean square of the force components, eV/Å."""
        return float(np.sqrt(np.mean(np.concatenate([f.ravel() for f in self.forces]) ** 2)))


@dataclass(frozen=True)
class Network:
    """Shape that all contenders share as far as their architectures allow.

    Attributes
    ----------
    cutoff
        Å.
    lmax
        Highest degree of the spherical harmonics and of the features.
    hidden_lmax
        Of the features, where it is another and the contender can do so (MACE).
    n_bessel
        Radial Bessel functions.
    radial_hidden
        Hidden widths of the radial network.
    n_layers, channels
        Message-passing layers and channels per degree; None takes each contender's own choice, which gives all
        of them about the same number of parameters.
    """

    cutoff: float = 4.0
    lmax: int = 2
    n_bessel: int = 8
    radial_hidden: tuple[int, ...] = (64, 64)
    n_layers: int | None = None
    channels: int | None = None
    hidden_lmax: int | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Network:
        """Make the network of plain JSON values."""
        return cls(**{**values, "radial_hidden": tuple(values["radial_hidden"])})


class Contender(ABC):
    """A network with random weights, normalised by its training set the way its own package does it.

    The caller seeds torch before making one.

    Attributes
    ----------
    packages
        Distributions whose versions are recorded.
    n_layers, channels
        Its own choice of depth and width.
    module
        The trained part: all its parameters with `requires_grad`.

    Parameters
    ----------
    network
        Shape.
    training
        The training set, for species and normalisation.
    """

    packages: ClassVar[tuple[str, ...]]
    n_layers: ClassVar[int]
    channels: ClassVar[int]
    module: torch.nn.Module

    @abstractmethod
    def __init__(self, network: Network, training: Labelled) -> None: ...

    @abstractmethod
    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        """Compute the graphs of some frames once; batches are then gathered by frame number."""

    @abstractmethod
    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Evaluate a batch.

        Parameters
        ----------
        batch
            From a batcher of this contender.
        training
            Keep the graph, so that a loss on energies and forces can be differentiated.

        Returns
        -------
        energies, forces
            (B,) eV, reference energies included, and (A, 3) eV/Å in the order of the batch's frames.
        """

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    @classmethod
    def shape(cls, network: Network) -> tuple[int, int]:
        """Layers and channels that a network of this shape has."""
        return network.n_layers or cls.n_layers, network.channels or cls.channels
