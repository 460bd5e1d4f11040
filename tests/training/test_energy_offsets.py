"""Reference energies that are solved for along with the weights: what a step does not see, and no collapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.energy_offsets import projection_of
from mfbench.mfcore.training.stage import StageTask
from mfbench.mfcore.training.trainer import StageTrainer
from mfbench.strategies.checks import learned_energies
from tests.conftest import HIGH
from tests.training.energies_only import (
    N_TRAIN,
    N_VALIDATION,
    fitted,
    relative_error,
    training_set_of,
    vibrating_molecule,
)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.integers(9, 20), st.integers(0, 3))
def test_a_batch_does_not_see_reference_energies_and_keeps_the_rest(seed, n_species, n_frames, n_missing):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(n_species), n_frames)
    fidelity = np.zeros(n_frames, dtype=int)
    present = np.ones(n_frames, dtype=bool)
    fidelity[:2] = 1  # too few to spare
    present[n_frames - n_missing :] = False
    matrix = projection_of(shares, fidelity, present)
    free = (fidelity == 0) & present
    rank = np.linalg.matrix_rank(shares[free])
    if free.sum() <= 2 * rank:
        assert matrix is None
        return
    errors = rng.normal(size=n_frames)
    mended = errors + np.where(fidelity == 0, shares @ rng.normal(size=n_species), 0.0)
    np.testing.assert_allclose((matrix @ mended)[present], (matrix @ errors)[present], atol=1e-9)
    np.testing.assert_array_equal((matrix @ errors)[:2], errors[:2])
    assert np.trace(matrix.T @ matrix) == pytest.approx(n_frames)  # the mean square of noise is as it was


def energies_only_stage(path: Path | None = None, progress=None, **options) -> StageTrainer:
    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=3.0, n_layers=2, lmax=1, channels=4, radial_hidden=(8,))
    frames = vibrating_molecule(0)[:24]
    core = EquivariantCore(config, (1, 8), (HIGH,), "none", 4.0)
    task = StageTask("t", {HIGH: frames[:16]}, {HIGH: LabelSet.parse("E")}, HIGH, frames[16:], free_e0=True)
    training = TrainingConfig(**({"validation_checks": 6, "checkpoint_s": 0.0, "batch_frames": 4} | options))
    return StageTrainer(core, task, training, Budget(1000.0), 3, path, progress)


def test_selected_weights_have_the_reference_energies_that_belong_to_them():
    stage = energies_only_stage()
    stage.fit()
    frames = stage.task.frames[HIGH]
    batch = stage.store.batch(np.arange(len(frames)))
    found = stage.core(batch.to("cpu", torch.float32), forces=False).energy.double() + stage.core.reference_energy(
        batch
    )
    error = found.detach().numpy() - np.array([energy_of(a, HIGH) for a in frames])
    # float32: the network's own share of the energy has some 1e-7 of 10 eV
    assert abs(error.mean()) < 1e-4
    assert stage.state.stage.validation_atom_evaluations >= 7 * (8 + 16) * 5


def test_a_resumed_stage_goes_on_with_its_reference_energies(tmp_path):
    plain = energies_only_stage()
    plain.fit()

    class Killed(Exception):
        pass

    def die(name: str, spent: float, budget: float) -> None:
        if 400 < spent < 1000:
            raise Killed

    path = tmp_path / "c.ckpt"
    with pytest.raises(Killed):
        energies_only_stage(path, die).fit()
    resumed = energies_only_stage(path)
    resumed.fit()
    assert torch.equal(plain.core.reference, resumed.core.reference)
    for one, other in zip(plain.core.parameters(), resumed.core.parameters(), strict=True):
        assert torch.equal(one, other)


def test_reference_energies_stay_where_they_must():
    frames = vibrating_molecule(0)
    kept = fitted(frames, 0, 2000.0, free_e0="never")
    solved = fitted(frames, 0, 2000.0)

    def values(potential) -> tuple[float, ...]:
        return tuple(potential.record["reference_energies"][HIGH]["values"])

    assert values(kept) != values(solved)
    for potential in (kept, solved):
        np.testing.assert_array_equal(values(potential), potential.cores[0].reference_of(HIGH))


@pytest.mark.parametrize(("budget", "enough"), [(200.0, False), (6000.0, True)])
def test_a_potential_is_held_against_the_mean_energy(budget, enough):
    frames = vibrating_molecule(1)
    learned = learned_energies(fitted(frames, 1, budget), training_set_of(frames))
    assert learned is not None
    assert learned.enough is enough
    held_out = [energy_of(a, HIGH) for a in frames[N_TRAIN : N_TRAIN + N_VALIDATION]]
    mean = np.mean([energy_of(a, HIGH) for a in frames[:N_TRAIN]])
    assert learned.constant == pytest.approx(np.mean(np.abs(held_out - mean)) / 5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_trainings_on_energies_of_one_molecule_learn_more_than_their_mean():
    """50 seeds of weights, frames and order; with reference energies that stay most of a few seeds collapse."""
    errors = []
    for seed in range(50):
        frames = vibrating_molecule(seed)
        errors.append(relative_error(fitted(frames, seed, 1e4), frames))
    assert max(errors) < 0.7
    assert np.median(errors) < 0.3
    before = [
        relative_error(fitted(frames, seed, 1e4, free_e0="never"), frames)
        for seed, frames in ((seed, vibrating_molecule(seed)) for seed in range(5))
    ]
    assert np.median(before) > 0.7
