"""Ridge regression of the last layer: what another last layer made is found again, and noise is not followed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.mfcore.core import LAST, READOUT
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.frames import drop_labels, set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError, SelfCheckError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import LossConfig
from mfbench.strategies.closed_form import Linear, linear_in_last_layer, ridge
from mfbench.strategies.registry import make_arm
from tests.conftest import HIGH, tiny_settings

BOTH = LabelSet.parse("EF")


def network() -> EquivariantCore:
    torch.manual_seed(3)
    config = EquivariantConfig(cutoff=3.0, n_layers=1, lmax=1, channels=8, n_bessel=6, radial_hidden=(8,))
    return EquivariantCore(config, (1, 8), (HIGH,), "none", 3.0).double()


def answered(core: EquivariantCore, frames: list[Atoms]) -> list[Atoms]:
    """Frames with a network's energies and forces as labels."""
    answers = Potential("x", [core], {HIGH: (Component(0, HIGH),)}).predict(frames, HIGH)
    assert answers.forces is not None
    made = [atoms.copy() for atoms in frames]
    for atoms, energy, forces in zip(made, answers.energies, answers.forces, strict=True):
        drop_labels(atoms, HIGH)
        set_labels(atoms, HIGH, energy=float(energy), forces=forces)
    return made


def test_the_last_layer_that_made_the_labels_is_found(frames: list[Atoms]) -> None:
    core, teacher = network(), network()
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=teacher.readout.out.numel())
    with torch.no_grad():
        teacher.readout.out.copy_(torch.from_numpy(wanted).view_as(teacher.readout.out))
    labelled = answered(teacher, frames[:40])
    learned, held = (linear_in_last_layer(core, f, HIGH, BOTH, LossConfig()) for f in (labelled[:30], labelled[30:]))
    start = core.readout.out.detach().numpy().ravel()
    change = ridge(learned, held, start)
    assert held.scores(start + change).sum() < 1e-8 * held.scores(start).sum()
    np.testing.assert_allclose(held.scores(wanted), 0.0, atol=1e-18)
    np.testing.assert_array_equal(core.readout.out.detach().numpy().ravel(), start)  # as it was


def test_noise_is_not_followed() -> None:
    """Labels of no signal, as many as weights: no penalty would fit them all, and be worse than the start."""
    rng = np.random.default_rng(1)

    def draw(n: int) -> Linear:
        return Linear(rng.normal(size=(n, 20)), rng.normal(size=n), np.arange(n), np.ones((n, 1)))

    ratios = []
    for _ in range(20):
        learned, held, fresh = draw(20), draw(30), draw(300)
        start = np.zeros(20)
        free = np.linalg.lstsq(learned.features, learned.target, rcond=None)[0]
        assert fresh.scores(free).sum() > 1.5 * fresh.scores(start).sum()
        ratios.append(fresh.scores(ridge(learned, held, start)).sum() / fresh.scores(start).sum())
    assert np.mean(ratios) < 1.05


def test_scores_are_the_loss_of_each_frame(frames: list[Atoms]) -> None:
    core, loss = network(), LossConfig(energy_weight=7.0, forces_weight=2.0)
    made = linear_in_last_layer(core, frames[:5], HIGH, BOTH, loss)
    answers = Potential("x", [core], {HIGH: (Component(0, HIGH),)}).predict(frames[:5], HIGH)
    assert answers.forces is not None
    energies = [(e - a.info[f"{HIGH}_energy"]) / len(a) for e, a in zip(answers.energies, frames, strict=False)]
    forces = np.concatenate([f - a.arrays[f"{HIGH}_forces"] for f, a in zip(answers.forces, frames, strict=False)])
    whole = 7.0 * np.mean(np.square(energies)) + 2.0 * np.mean(np.square(forces))
    assert made.scores(core.readout.out.detach().numpy().ravel()).sum() == pytest.approx(whole, rel=1e-9)


def test_a_core_without_such_a_layer_or_with_another_one_is_refused(
    training_set: TrainingSet, frames: list[Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = network()
    monkeypatch.setattr(EquivariantCore, "groups_of", lambda self, name: (READOUT, LAST))
    with pytest.raises(SelfCheckError, match=r"not linear in its parameters 'readout\.last'"):
        linear_in_last_layer(core, frames[:3], HIGH, BOTH, LossConfig())
    monkeypatch.setattr(EquivariantCore, "groups_of", lambda self, name: (READOUT,))
    with pytest.raises(ConfigError, match=r"no parameters 'readout\.last'"):
        make_arm("transfer_ridge", tiny_settings()).fit(training_set, Budget(3000), 0)
