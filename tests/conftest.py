"""Small analytic worlds that the tests train on: two levels of theory whose difference is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from hypothesis import settings

from mfbench.mfcore.backends.cache import cache_directory
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.fidelity import LabelSet

torch.set_num_threads(1)

# Examples are the same in every run, so that a commit passes or fails; --hypothesis-profile=fresh draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("fresh", derandomize=False)
settings.load_profile("same")

LOW, HIGH = "dft", "cc"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own, but for the kernels, which take long to compile."""
    folder, kernels = tmp_path_factory.mktemp("cache"), cache_directory()
    with suppress(OSError):
        kernels.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "kernels").symlink_to(kernels, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFBENCH_CACHE", str(folder))
        yield


_E0 = {LOW: {1: -13.0, 8: -2000.0}, HIGH: {1: -13.5, 8: -2040.0}}
_DEPTH = {LOW: 1.0, HIGH: 1.3}


def pair_labels(atoms: Atoms, fidelity: str) -> tuple[float, np.ndarray]:
    """Morse-like pair energies plus per-element constants: eV, and forces as their exact derivative."""
    energy = sum(_E0[fidelity][int(z)] for z in atoms.numbers)
    forces = np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for j in range(i):
            vector = atoms.positions[i] - atoms.positions[j]
            r = float(np.linalg.norm(vector))
            x = np.exp(-1.5 * (r - 1.1))
            energy += _DEPTH[fidelity] * (x * x - 2 * x)
            slope = _DEPTH[fidelity] * (-3.0 * x * x + 3.0 * x)
            forces[i] -= slope * vector / r
            forces[j] += slope * vector / r
    return energy, forces


class PairCalculator(Calculator):
    """The analytic level as an ASE calculator."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, fidelity: str) -> None:
        super().__init__()
        self.fidelity = fidelity

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results["energy"], self.results["forces"] = pair_labels(self.atoms, self.fidelity)


def water_like(rng: np.random.Generator, name: str) -> Atoms:
    """A distorted OH or H2O with labels of both levels."""
    atoms = (
        Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
        if rng.random() < 0.7
        else Atoms("OH", [[0, 0, 0], [0.98, 0, 0]])
    )
    atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    atoms.info |= {"structure_id": name, "group": name}
    for fidelity in (LOW, HIGH):
        energy, forces = pair_labels(atoms, fidelity)
        set_labels(atoms, fidelity, energy=energy, forces=forces)
    return atoms


@pytest.fixture(scope="session")
def frames() -> list[Atoms]:
    rng = np.random.default_rng(7)
    return [water_like(rng, f"w{k:03d}") for k in range(90)]


@pytest.fixture(scope="session")
def training_set(frames: list[Atoms]) -> TrainingSet:
    """40 LF, 16 other HF (with LF labels too), 10 validation frames; the last 24 are for tests."""
    both = LabelSet.parse("EF")
    return TrainingSet(
        (LOW, HIGH),
        {LOW: frames[:40], HIGH: frames[40:56]},
        {LOW: both, HIGH: both},
        frames[56:66],
    )


@pytest.fixture(scope="session")
def held_out_frames(frames: list[Atoms]) -> list[Atoms]:
    return frames[66:]


def tiny_settings(**training: object) -> dict[str, object]:
    """Settings of a network that trains in a second."""
    return {
        "core": {"cutoff": 3.0, "n_layers": 2, "lmax": 1, "channels": 8, "n_bessel": 6, "radial_hidden": [16]},
        "training": {"batch_frames": 8, "validation_checks": 4, "learning_rate": 0.01, **training},
    }
