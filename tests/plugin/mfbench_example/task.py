"""A task of water and hydrogen peroxide with Morse-like pair energies at two levels, computed when it is loaded."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from mfbench.benchmarks.tasks.base import Pools, Regime, Task
from mfbench.mfcore.data.frames import set_labels

N_GROUPS, PER_GROUP = 24, 4
MOLECULES = (
    Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    Atoms("O2H2", [[0, 0, 0], [1.45, 0, 0], [-0.2, 0.94, 0], [1.65, 0.3, 0.89]]),
)
DEPTH_EV = {"morse": 1.0, "deep_morse": 1.3}


def labels(atoms: Atoms, depth: float) -> tuple[float, np.ndarray]:
    """Energy in eV and forces in eV/Å of pairs D (x² - 2x) with x = exp(-1.5 (r - 1.1 Å))."""
    energy, forces = -10.0 * len(atoms) * depth, np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for j in range(i):
            vector = atoms.positions[i] - atoms.positions[j]
            r = float(np.linalg.norm(vector))
            x = np.exp(-1.5 * (r - 1.1))
            energy += depth * (x * x - 2.0 * x)
            pair = 3.0 * depth * (x * x - x) * vector / r
            forces[i] += pair
            forces[j] -= pair
    return energy, forces


class MorseWater(Task):
    """Distorted molecules; a group is one molecule with its distortions."""

    name = "morse_water"
    summary = "water and hydrogen peroxide with Morse-like pairs at two depths"
    fidelities = ("morse", "deep_morse")
    embedded = True
    default_regime = Regime(n_low=32, n_high=12, labels="low=EF,high=EF", pairing="disjoint", coverage="full")

    def load(self) -> list[Atoms]:
        """All frames, the same in every process."""
        rng, frames = np.random.default_rng(11), []
        for group in range(N_GROUPS):
            for member in range(PER_GROUP):
                atoms = MOLECULES[group % 2].copy()
                atoms.positions += rng.normal(0.0, 0.12, atoms.positions.shape)
                atoms.info |= {"structure_id": f"g{group:02d}-{member}", "group": f"g{group:02d}"}
                for fidelity, depth in DEPTH_EV.items():
                    energy, forces = labels(atoms, depth)
                    set_labels(atoms, fidelity, energy=energy, forces=forces)
                frames.append(atoms)
        return frames

    def pools(self, draw: int) -> Pools:
        """Six groups are tests, the same in every draw; two of the others validate."""
        order = [f"g{n:02d}" for n in np.random.default_rng([3, draw]).permutation(N_GROUPS - 6)]
        parts = {"validation": set(order[:2]), "training": set(order[2:])}
        parts["tests"] = {f"g{n:02d}" for n in range(N_GROUPS - 6, N_GROUPS)}
        found = {name: [a for a in self.frames if a.info["group"] in groups] for name, groups in parts.items()}
        return Pools(found["training"], None, found["validation"], 8, {"in_coverage": found["tests"]})

    def data_hashes(self) -> dict[str, str]:
        """The data are computed by this file."""
        return {"morse_water": "1"}
