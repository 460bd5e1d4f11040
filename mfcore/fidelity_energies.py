"""Energies by fidelity and element: reference energies, scales and shifts, as every core has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError


class FidelityEnergies(nn.Module):
    """Reference energies, scales and shifts of a network, by fidelity and element.

    Parameters
    ----------
    species
        Atomic numbers, in the order of a batch's species index.
    fidelities
        Names, in the order of a batch's fidelity index.

    Attributes
    ----------
    reference, scale, reference_shift
        (fidelities, species) E0 in eV and scales in eV, both float64, and a shift in eV that training may learn.
    """

    reference: Tensor
    scale: Tensor
    reference_shift: nn.Parameter

    def __init__(self, species: Sequence[int], fidelities: Sequence[str]) -> None:
        super().__init__()
        self.species, self.fidelities = tuple(species), tuple(fidelities)
        shape = (len(self.fidelities), len(self.species))
        self.register_buffer("reference", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(shape, dtype=torch.float64))
        self.reference_shift = nn.Parameter(torch.zeros(shape), requires_grad=False)

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return self.reference_shift.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its weights."""
        return self.reference_shift.dtype

    def row(self, fidelity: str) -> int:
        """Index of a fidelity.

        Raises
        ------
        ConfigError
            If the network does not know it.
        """
        if fidelity not in self.fidelities:
            raise ConfigError(f"fidelity '{fidelity}': this network has {', '.join(self.fidelities)}.")
        return self.fidelities.index(fidelity)

    def set_reference(self, fidelity: str, values: Sequence[float] | np.ndarray) -> None:
        """Set E0 of a fidelity, (species,) eV."""
        self.reference[self.row(fidelity)] = torch.as_tensor(np.asarray(values), dtype=torch.float64)

    def reference_of(self, fidelity: str) -> np.ndarray:
        """E0 of a fidelity, (species,) eV, float64."""
        return np.array(self.reference[self.row(fidelity)].cpu().numpy())

    def set_scale(self, fidelity: str, values: float | Sequence[float] | np.ndarray) -> None:
        """Set the scales of a fidelity, in eV: one for all species, or (species,)."""
        self.scale[self.row(fidelity)] = torch.as_tensor(np.asarray(values), dtype=torch.float64)

    def scale_of(self, fidelity: str) -> np.ndarray:
        """Scales of a fidelity, (species,) eV, float64."""
        return np.array(self.scale[self.row(fidelity)].cpu().numpy())

    def train_offsets(self, trainable: bool) -> None:
        """Let training learn a shift of E0 for each fidelity and element, or keep it at what it is."""
        self.reference_shift.requires_grad_(trainable)

    def reference_energy(self, batch: Batch) -> Tensor:
        """Sum of E0 over the atoms of each frame, (B,) eV, float64."""
        label = batch.fidelity.index_select(0, batch.frame) * len(self.species) + batch.species
        per_atom = self.reference.view(-1).index_select(0, label)
        return torch.zeros(batch.n_frames, dtype=torch.float64, device=per_atom.device).index_add(
            0, batch.frame, per_atom
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the tensors, as torch's `to` and the like do; reference energies and scales stay float64."""
        reference, scale = self.reference, self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.reference, self.scale = reference.to(self.device), scale.to(self.device)
        return self

    def frame_energies(self, atomic: Tensor, batch: Batch) -> Tensor:
        """Energies of frames, (B,) eV without reference energies, from what the network says of each atom, (A,)."""
        label = batch.fidelity.index_select(0, batch.frame) * len(self.species) + batch.species
        scale = self.scale.to(atomic.dtype).view(-1)
        shift = self.reference_shift.view(-1).index_select(0, label)
        atomic = torch.addcmul(shift, atomic, scale.index_select(0, label))
        return torch.zeros(batch.n_frames, dtype=atomic.dtype, device=atomic.device).index_add(0, batch.frame, atomic)
