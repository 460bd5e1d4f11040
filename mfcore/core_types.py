"""Types of the Core protocol: settings, conditionings, what comes out, and the inference core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypedDict

import torch
from pydantic import Field
from torch import Tensor

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.settings_model import SettingsModel

Conditioning = Literal["none", "one_hot", "heads", "embedding"]
"""How the fidelity enters a network: not at all, as a one-hot, as one readout each, or as a learned vector."""


class CoreConfig(SettingsModel):
    """Settings of a core; each core derives its own from these."""

    cutoff: float = Field(5.0, gt=0, le=100, description="Neighbour cutoff, Å.")


@dataclass(frozen=True)
class Checkpoint:
    """Weights that a network starts from.

    Attributes
    ----------
    path
        File or folder that holds them.
    part
        Modality, head or fidelity of it to start from; "" where it has one alone.
    """

    path: Path
    part: str = ""


class ForwardOptions(TypedDict, total=False):
    """Ways of computing that a core may have beside the plain one; the numbers are the same to rounding.

    Keys
    ----
    tf32
        Multiply matrices in TF32, in the energy and in all derivatives.
    activation_checkpointing
        Keep less for the way back, and compute it again.
    """

    tf32: bool
    activation_checkpointing: bool


@dataclass
class CoreOutput:
    """Energies, forces and stress of a batch.

    Attributes
    ----------
    energy
        (B,) eV, without the reference energies, which are added in float64 by the core's `reference_energy`.
    forces
        (A, 3) eV/Å, or None if they were not asked for.
    stress
        (B, 3, 3) eV/Å³, ASE's sign, NaN for molecules; None if it was not asked for.
    """

    energy: Tensor
    forces: Tensor | None
    stress: Tensor | None


class InferenceCore(Protocol):
    """One fidelity of a core as a fixed function, which cannot be trained; the same answers to rounding.

    A batch's species are indices into this one's `species`; its fidelities and labels are not read, and edges beyond
    the cutoff (of a neighbour list with a skin) add nothing.
    """

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers, in the order of a batch's species index."""

    @property
    def cutoff(self) -> float:
        """Neighbour cutoff, Å."""

    @property
    def device(self) -> torch.device:
        """Device of the batches that it takes."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the batches that it takes."""

    def reference_energy(self, batch: Batch) -> Tensor:
        """Sum of E0 over the atoms of each frame, (B,) eV, float64."""

    def __call__(self, batch: Batch, forces: bool = True, stress: bool = False) -> CoreOutput:
        """Energies without reference energies, forces and stress."""
