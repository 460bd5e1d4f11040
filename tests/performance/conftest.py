"""Frames with an analytic energy: Morse bonds between all atoms of a CO2-like trimer."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Labelled
from mfbench.benchmarks.performance.parity.data import ParityData

DEPTH, STIFFNESS, BOND = 2.0, 1.5, 1.3  # eV, 1/Å, Å


def morse(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy in eV and forces in eV/Å of all pairs of some atoms."""
    energy, forces = 0.0, np.zeros_like(positions)
    for i in range(len(positions)):
        for j in range(i):
            vector = positions[i] - positions[j]
            distance = np.linalg.norm(vector)
            decay = np.exp(-STIFFNESS * (distance - BOND))
            energy += DEPTH * (1 - decay) ** 2
            pull = -2 * DEPTH * STIFFNESS * (1 - decay) * decay * vector / distance
            forces[i] += pull
            forces[j] -= pull
    return energy, forces


def trimers(n_frames: int, seed: int) -> Labelled:
    """Shaken triangles of C, O and O."""
    rng = np.random.default_rng(seed)
    corners = BOND * np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.87, 0.0]])
    frames = [Atoms("COO", corners + 0.1 * rng.standard_normal((3, 3))) for _ in range(n_frames)]
    labels = [morse(atoms.positions) for atoms in frames]
    return Labelled(frames, np.array([e for e, _ in labels]), [f for _, f in labels])


@pytest.fixture
def data() -> ParityData:
    return ParityData(trimers(24, 1), trimers(8, 2), trimers(16, 3))
