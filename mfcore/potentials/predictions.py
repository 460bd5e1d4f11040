"""Predictions of a fitted potential, and the part of it that its calculator needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from ase.calculators.calculator import Calculator

from mfbench.mfcore.data.structures import Frame
from mfbench.mfcore.potentials.inference import FrozenPotential
from mfbench.mfcore.potentials.watch import Watch


@dataclass(frozen=True)
class Predictions:
    """Predicted labels of B frames.

    Attributes
    ----------
    energies
        (B,) eV, reference energies included.
    forces
        Per frame (n, 3) eV/Å; None if not asked for.
    stress
        (B, 3, 3) eV/Å³, ASE's sign, NaN for molecules; None if not asked for.
    """

    energies: np.ndarray
    forces: list[np.ndarray] | None
    stress: np.ndarray | None


class Predictor(Protocol):
    """A fitted potential; see :class:`mfbench.mfcore.potentials.potential.Potential`."""

    @property
    def delta_baseline(self) -> Mapping[str, str]:
        """By fidelity, the cheaper fidelity whose labels are added."""

    def freeze(self, fidelity: str | None = None) -> FrozenPotential:
        """The present weights as a fixed function of a graph."""

    def watch(self, species: Sequence[int], cutoff: float, fidelity: str) -> Watch:
        """Return what tells of batches that are unlike the training."""

    def check_stress(self, fidelity: str | None = None) -> None:
        """Warn if no stress label of a fidelity was trained on."""

    def predict(
        self,
        frames: Frame | Sequence[Frame],
        fidelity: str | None = None,
        *,
        forces: bool = True,
        stress: bool = False,
        batch_atoms: int = 4000,
        base: Calculator | None = None,
    ) -> Predictions:
        """Energies, forces and stress of frames."""
