"""A molecule in thermal motion with energies alone: they differ by little, and all have one composition."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from mfbench.mfcore.data.frames import energy_of, set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.single_fidelity import SingleFidelity
from tests.conftest import HIGH, PairCalculator, pair_labels

N_TRAIN, N_VALIDATION, N_TEST = 100, 20, 100


def vibrating_molecule(seed: int) -> list[Atoms]:
    """Frames of one relaxed cluster, atoms displaced by 0.02 Å, with energies."""
    rest = Atoms("O2H3", [[0, 0, 0], [1.1, 0, 0], [0.5, 0.9, 0], [0.5, -0.5, 0.8], [0.6, 0.2, -0.9]])
    rest.calc = PairCalculator(HIGH)
    BFGS(rest, logfile=None).run(fmax=0.01, steps=200)
    rng, made = np.random.default_rng(seed), []
    for k in range(N_TRAIN + N_VALIDATION + N_TEST):
        atoms = Atoms(rest.numbers, rest.positions + rng.normal(0, 0.02, rest.positions.shape))
        atoms.info |= {"structure_id": f"v{k:03d}", "group": f"v{k:03d}"}
        set_labels(atoms, HIGH, energy=pair_labels(atoms, HIGH)[0])
        made.append(atoms)
    return made


def training_set_of(frames: list[Atoms]) -> TrainingSet:
    """The first frames to train on, the next to select on."""
    return TrainingSet(
        (HIGH,),
        {HIGH: frames[:N_TRAIN]},
        {HIGH: LabelSet.parse("E")},
        frames[N_TRAIN : N_TRAIN + N_VALIDATION],
    )


def fitted(frames: list[Atoms], seed: int, atom_gradients: float, **training: object) -> Potential:
    """Single fidelity on the first frames, by a small network."""
    data = training_set_of(frames)
    core = {"cutoff": 4.0, "n_layers": 2, "lmax": 1, "channels": 16, "radial_hidden": [16]}
    return SingleFidelity({"core": core, "training": training}).fit(data, Budget(atom_gradients), seed)


def relative_error(potential: Potential, frames: list[Atoms]) -> float:
    """Mean absolute error on the last frames, of that of their mean."""
    tests = frames[-N_TEST:]
    true = np.array([energy_of(a, HIGH) for a in tests])
    found = np.asarray(potential.predict(tests, HIGH, forces=False).energies)
    return float(np.abs(found - true).mean() / np.abs(true - true.mean()).mean())
