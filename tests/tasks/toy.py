"""A small task with known labels, and a potential that knows the answers: what the tests of tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from ase import Atoms
from ase.build import molecule

from mfbench.benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, Pools, Regime, Task
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, set_labels, stress_of
from mfbench.mfcore.data.splits import id_of, in_groups
from mfbench.mfcore.fidelity import Label

MOLECULES = ("CH4", "H2O", "NH3", "C2H4", "C2H2", "H2CO", "HCN", "CH3OH")


def rattled(n: int, seed: int, name: str = "CH3OH") -> list[Atoms]:
    """Copies of a molecule whose atoms are displaced at random by 0.1 Å."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = molecule(name)
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        made.append(atoms)
    return made


def toy_frames(n_each: int = 12, seed: int = 0) -> list[Atoms]:
    """Rattled molecules: "low" E+F on all, "high" E on even frames, F on every fourth."""
    rng = np.random.default_rng(seed)
    frames = []
    for name in MOLECULES:
        for i in range(n_each):
            atoms = molecule(name)
            atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
            atoms.info = {"structure_id": f"{name}-{i}", "group": name}
            set_labels(atoms, "low", energy=float(rng.normal()), forces=rng.normal(size=(len(atoms), 3)))
            if i % 2 == 0:
                set_labels(atoms, "high", energy=float(rng.normal()))
            if i % 4 == 0:
                set_labels(atoms, "high", forces=rng.normal(size=(len(atoms), 3)))
            frames.append(atoms)
    return frames


class ToyTask(Task):
    """HF trains on CH4, H2O, NH3 in the gap, and on C2H4 beyond it."""

    name = "toy"
    summary = "rattled molecules with random labels"
    fidelities = ("low", "high")
    embedded = True
    default_regime = Regime(n_low=20, n_high=8)

    def load(self) -> list[Atoms]:
        return toy_frames()

    def pools(self, draw: int) -> Pools:
        high = [a for a in self.frames if np.isfinite(energy_of(a, "high"))]
        return Pools(
            training=in_groups(self.frames, ("CH4", "H2O", "NH3", "C2H4")),
            gap_ids=frozenset(id_of(a) for a in in_groups(high, ("CH4", "H2O", "NH3", "C2H2"))),
            validation=in_groups(high, ("C2H2",)),
            n_validation=4,
            tests={
                IN_COVERAGE: in_groups(high, ("H2CO", "HCN")),
                OUT_OF_COVERAGE: in_groups(high, ("CH3OH",)),
            },
        )

    def data_hashes(self) -> dict[str, str]:
        return {"toy": "0" * 64}


def _stress(atoms: Atoms, fidelity: str) -> np.ndarray:
    return stress_of(atoms, fidelity) if has_label(atoms, fidelity, Label.STRESS) else np.zeros((3, 3))


class Oracle:
    """A potential that returns the labels plus a constant error of each kind."""

    def __init__(self, fidelities: Sequence[str], energy_error: float = 0.0, force_error: float = 0.0) -> None:
        self.fidelities = tuple(fidelities)
        self.energy_error, self.force_error = energy_error, force_error
        self.asked: list[tuple[str, int, bool]] = []

    def predict(self, frames, fidelity=None, *, forces=True, stress=False):
        fidelity = fidelity or self.fidelities[-1]
        assert fidelity in self.fidelities
        self.asked.append((fidelity, len(frames), forces))
        return SimpleNamespace(
            energies=np.array([energy_of(a, fidelity) + self.energy_error * len(a) for a in frames]),
            forces=[forces_of(a, fidelity) + self.force_error for a in frames] if forces else None,
            stress=np.array([_stress(a, fidelity) for a in frames]) if stress else None,
        )
