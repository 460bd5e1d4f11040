"""Optimiser steps of every stage of every arm depend on the atom gradients that it spends, not on the frames' size."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import BATCH_ATOMS
from mfbench.mfcore.training.trainer import StageTrainer
from mfbench.strategies.registry import arm_class, arm_names, make_arm
from tests.conftest import HIGH, LOW, tiny_settings

SIZES = (13, 52, 416)
BUDGET = 3e4  # 72 steps of 416 atoms
CLOSED_FORM = 3e4  # atom gradients, about, of the features that an arm without fine-tuning solves for


def frames_of(n_atoms: int) -> list[Atoms]:
    """Frames whose atoms are beyond each other's cutoff, so that the networks take no time."""
    rng = np.random.default_rng(n_atoms)
    grid = 4.0 * np.stack(np.unravel_index(np.arange(n_atoms), (8, 8, 8)), axis=1)
    made = []
    for number in range(26):
        atoms = Atoms(f"Cu{n_atoms}", grid + rng.uniform(-0.3, 0.3, (n_atoms, 3)))
        atoms.info |= {"structure_id": f"s{number}", "group": f"s{number}"}
        for fidelity in (LOW, HIGH):
            set_labels(atoms, fidelity, energy=rng.normal(), forces=rng.normal(size=(n_atoms, 3)))
        made.append(atoms)
    return made


def steps_of(arm: str, n_atoms: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """Atom gradients and steps of each trained stage; the steps themselves are not taken."""
    monkeypatch.setattr(StageTrainer, "_step", lambda *_: None)
    frames, both = frames_of(n_atoms), LabelSet.parse("EF")
    data = TrainingSet((LOW, HIGH), {LOW: frames[:12], HIGH: frames[12:24]}, {LOW: both, HIGH: both}, frames[24:])
    core = {"cutoff": 3.0, "n_layers": 1, "lmax": 0, "channels": 2, "n_bessel": 2, "radial_hidden": [2]}
    settings = {"core": core, "training": {"validation_checks": 1}}
    budget = Budget(BUDGET + (CLOSED_FORM if arm == "transfer_ridge" else 0.0))
    ledger = make_arm(arm, settings).fit(data, budget, 0).ledger
    return [(stage.atom_gradients, stage.steps) for stage in ledger.stages if stage.steps]


@pytest.mark.parametrize("arm", [name for name in arm_names() if arm_class(name).trains])
def test_an_atom_gradient_buys_as_many_steps_whatever_the_size_of_frames(
    arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step has as many frames as fit into the atoms of a batch, and one frame is the least."""
    by_size = {n: steps_of(arm, n, monkeypatch) for n in SIZES}
    stages = len(by_size[SIZES[0]])
    assert stages >= 1
    for n_atoms, found in by_size.items():
        assert len(found) == stages
        most = max(BATCH_ATOMS, n_atoms)
        least = max(1, BATCH_ATOMS // n_atoms) * n_atoms  # atoms of the frames that fit
        for spent, steps in found:
            assert spent / steps <= most
            assert spent / steps >= 0.6 * least  # the last batch of a pass has what is left of it
    assert all(spent == 416 * steps for spent, steps in by_size[416])  # one frame a step
    assert min(steps for _, steps in by_size[416]) >= 0.2 * BUDGET / 416  # of any stage


def test_a_core_with_larger_steps_trains_as_at_a_larger_learning_rate(
    training_set: TrainingSet, held_out_frames: list[Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forces(learning_rate: float) -> np.ndarray:
        arm = make_arm("single_fidelity", tiny_settings(learning_rate=learning_rate))
        found = arm.fit(training_set, Budget(400.0), 1).predict(held_out_frames, HIGH).forces
        assert found is not None
        return np.concatenate(found)

    plain, wanted = forces(0.004), forces(0.008)
    monkeypatch.setattr(EquivariantCore, "learning_rate_factor", 2.0)
    np.testing.assert_allclose(forces(0.004), wanted, rtol=0, atol=1e-6)
    assert np.abs(wanted - plain).max() > 1e-3
