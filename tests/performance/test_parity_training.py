"""The shared loop: schedule, errors, averaging, selection."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Job, Training
from mfbench.benchmarks.performance.parity.training import Diverged, errors, rate_factor, train
from tests.performance.conftest import BOND, DEPTH, STIFFNESS, trimers


class Morse(Contender):
    """The energy that the labels have, with a trainable depth: an exact answer exists."""

    packages = ()
    n_layers, channels = 1, 1

    def __init__(self, network: Network, training: Labelled) -> None:
        self.module = torch.nn.Module()
        self.module.depth = torch.nn.Parameter(torch.tensor(0.5))

    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        positions = torch.tensor(np.array([a.positions for a in frames]), dtype=torch.float32)
        return lambda numbers: positions[list(numbers)]

    def energy_forces(self, batch: torch.Tensor, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        positions = batch.clone().requires_grad_(True)
        pairs = torch.tensor([[0, 0, 1], [1, 2, 2]])
        distance = (positions[:, pairs[0]] - positions[:, pairs[1]]).norm(dim=2)
        decay = torch.exp(-STIFFNESS * (distance - BOND))
        energy = (self.module.depth * (1 - decay) ** 2).sum(1)
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
        return energy, -gradient.reshape(-1, 3)


def silent(epoch: int, epochs: int, score: float) -> None:
    pass


def test_learning_rate_rises_linearly_then_falls_as_a_cosine() -> None:
    recipe = Training(warmup=0.1, final_rate=0.01)
    factors = [rate_factor(step, 1000, recipe) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99] == pytest.approx(1.0)
    assert factors[550] == pytest.approx((1 + 0.01) / 2)
    assert factors[-1] == pytest.approx(0.01, abs=1e-5)
    assert np.diff(factors[:100]).min() > 0 > np.diff(factors[100:]).max()


def test_errors_are_per_atom_and_per_component() -> None:
    labels = Labelled([Atoms("CO"), Atoms("COO")], np.array([1.0, 2.0]), [np.zeros((2, 3)), np.ones((3, 3))])
    predicted = [
        (np.array([1.004]), np.full((2, 3), 0.001)),
        (np.array([1.988]), np.full((3, 3), 1.002)),
    ]
    found = errors(predicted, labels)
    assert found["energy_mae_mev_per_atom"] == pytest.approx((2 + 4) / 2)
    assert found["energy_rmse_mev_per_atom"] == pytest.approx(math.sqrt((4 + 16) / 2))
    assert found["force_mae_mev_per_A"] == pytest.approx((6 * 1 + 9 * 2) / 15)
    assert found["force_rmse_mev_per_A"] == pytest.approx(math.sqrt((6 * 1 + 9 * 4) / 15))


def test_training_finds_the_parameter_of_the_labels(data: ParityData) -> None:
    contender = Morse(Network(), data.training)
    outcome = train(contender, data, Training(epochs=60, batch_frames=5), 0.1, 0, silent)
    assert float(contender.module.depth.detach()) == pytest.approx(DEPTH, rel=1e-3)
    assert outcome.steps == 60 * 5  # the last batch of an epoch has the four frames that are left
    assert outcome.test["force_mae_mev_per_A"] < 5
    assert [epoch for epoch, _ in outcome.history] == list(range(3, 61, 3))
    assert outcome.best_epoch == min(outcome.history, key=lambda entry: entry[1])[0]


def test_the_selected_weights_are_the_ones_that_are_tested(data: ParityData) -> None:
    """With a far too large learning rate the last weights are not the best ones."""
    contender = Morse(Network(), data.training)
    recipe = Training(epochs=20, batch_frames=8, final_rate=1.0, ema=0.0)
    outcome = train(contender, data, recipe, 3.0, 0, silent)
    lowest = min(score for _, score in outcome.history)
    assert outcome.validation["force_mae_mev_per_A"] == lowest
    assert outcome.history[-1][1] > lowest
    energy, force = contender.energy_forces(contender.prepare(data.test.frames)(range(16)), training=False)
    again = errors([(energy.detach().numpy(), force.detach().numpy())], data.test)
    assert again["force_mae_mev_per_A"] == pytest.approx(outcome.test["force_mae_mev_per_A"], rel=1e-6)


def test_the_order_of_frames_depends_on_the_seed_alone(data: ParityData) -> None:
    def history(seed: int) -> list[tuple[int, float]]:
        return train(Morse(Network(), data.training), data, Training(epochs=3, checks=3), 0.1, seed, silent).history

    assert history(0) == history(0)
    assert history(0) != history(1)


def test_a_loss_that_is_not_finite_stops_the_training(data: ParityData) -> None:
    contender = Morse(Network(), data.training)
    contender.module.depth.data.fill_(math.nan)
    with pytest.raises(Diverged, match="epoch 1"):
        train(contender, data, Training(epochs=3), 0.1, 0, silent)


def test_normalisation_of_the_training_set() -> None:
    labels = trimers(5, 0)
    assert labels.species == [6, 8]
    assert labels.energy_per_atom == pytest.approx(labels.energies.mean() / 3)
    assert labels.force_rms == pytest.approx(np.sqrt(np.mean(np.array(labels.forces) ** 2)))


def test_job_survives_json() -> None:
    job = Job("mace", 0.01, 3, Network(radial_hidden=(8, 4), n_layers=2), Training(epochs=7))
    assert Job.from_dict(job.as_dict()) == job
    job = Job("mfcore", 0.01, 3, Network(), Training(), {"readout_scale": 0.1})
    assert Job.from_dict(job.as_dict()) == job
