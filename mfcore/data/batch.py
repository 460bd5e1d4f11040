"""Frames as one graph, which is what networks see."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass
class Batch:
    """Several frames as one graph, with labels (NaN where there is none).

    Atoms are numbered through the batch (A in all), edges sorted by receiver (E in all), B frames.
    """

    species: Tensor  # (A,) index into the model's species
    positions: Tensor  # (A, 3) Å
    sender: Tensor  # (E,)
    receiver: Tensor  # (E,) ascending
    row_pointer: Tensor  # (A + 1,) first edge of each receiver
    shift: Tensor  # (E, 3) Å
    frame: Tensor  # (A,) frame of each atom
    n_atoms: Tensor  # (B,)
    volume: Tensor  # (B,) Å³; NaN for a molecule
    fidelity: Tensor  # (B,) index into the model's fidelities
    energy: Tensor  # (B,) eV, reference energies not subtracted, float64
    forces: Tensor  # (A, 3) eV/Å
    stress: Tensor  # (B, 3, 3) eV/Å³
    has_forces: bool = True  # False if no frame has labels of forces
    has_stress: bool = True
    images: Tensor | None = None  # (E,) whether edges go to periodic images; None: where their shift is not zero
    species_counts: tuple[int, ...] | None = None  # atoms of each species, where a device would have to be asked

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.n_atoms.shape[0]

    @property
    def each_pair_once(self) -> Tensor:
        """(E,) true for one of the two edges of each pair: the half list, for a core that wants it."""
        x, y, z = self.shift.unbind(1)
        forward = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))  # of an atom and its image
        return (self.sender < self.receiver) | ((self.sender == self.receiver) & forward)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Batch:
        """The batch on a device, its real numbers in `dtype` (energies stay float64)."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, Tensor):
                moved[field.name] = value
                continue
            real = value.is_floating_point() and field.name != "energy"
            moved[field.name] = value.to(device=device, dtype=dtype if real else value.dtype)
        return Batch(**moved)
