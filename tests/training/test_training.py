"""Losses, order of frames, budgets and checkpoints, against answers known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.data.reference_energies import composition, isolated_energies, least_squares_energies
from mfbench.mfcore.errors import BudgetError, ConfigError, DataError
from mfbench.mfcore.training.budget import Budget, Ledger, Stage
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors
from mfbench.mfcore.training.config import LossConfig, TrainingConfig
from mfbench.mfcore.training.loss import loss_of
from mfbench.mfcore.training.sampler import epoch_order
from mfbench.mfcore.training.schedule import learning_rate, loss_at


def two_frames() -> GraphStore:
    """An O2 with low labels and an H2 with a high energy only."""
    first, second = Atoms("O2", [[0, 0, 0], [0, 0, 1.2]]), Atoms("H2", [[0, 0, 0], [0, 0, 0.7]])
    set_labels(first, "low", energy=2.0, forces=np.ones((2, 3)))
    set_labels(second, "high", energy=-1.0)
    return GraphStore([first, second], ["low", "high"], ("low", "high"), None, (1, 8), 3.0)


def test_loss_masks_what_is_not_labelled_and_weights_what_is() -> None:
    batch = two_frames().batch([0, 1])
    forces = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    output = CoreOutput(torch.zeros(2, dtype=torch.float64, requires_grad=True), forces, None)
    config = LossConfig(
        energy="mse", forces="mae", energy_weight=3.0, forces_weight=5.0, fidelity_weights={"high": 4.0}
    )
    loss = loss_of(output, batch, batch.energy, ("low", "high"), config)
    # energies per atom: low (2/2)², high 4 x (1/2)², mean of two; forces: six components of 1
    assert loss.item() == pytest.approx(3 * (1 + 4 * 0.25) / 2 + 5 * 1.0)
    loss.backward()
    assert bool(torch.isfinite(forces.grad).all())
    assert bool((forces.grad[2:] == 0).all())
    assert bool((forces.grad[:2] != 0).all())


@pytest.mark.parametrize(("error", "expected"), [(0.05, 0.05**2), (0.3, 0.1 * (0.6 - 0.1))])
def test_huber_by_hand(error: float, expected: float) -> None:
    batch = two_frames().batch([1])
    output = CoreOutput(batch.energy + 2 * error, None, None)
    loss = loss_of(output, batch, batch.energy, ("low", "high"), LossConfig(energy="huber", energy_weight=1.0))
    assert float(loss) == pytest.approx(expected)


def test_the_weight_of_energies_moves_geometrically() -> None:
    config = LossConfig(energy_weight=1.0, final_energy_weight=100.0)
    assert [loss_at(config, done).energy_weight for done in (0.0, 0.25, 0.5, 1.0, 1.1)] == pytest.approx(
        [1.0, 10**0.5, 10.0, 100.0, 100.0]
    )
    assert loss_at(LossConfig(energy_weight=3.0), 0.7).energy_weight == 3.0
    with pytest.raises(ValueError, match="no way to it"):
        LossConfig(energy_weight=0.0, final_energy_weight=1.0)


@pytest.mark.parametrize(("decay", "half"), [("constant", 1.0), ("linear", 0.55), ("cosine", 0.55)])
def test_the_learning_rate_rises_and_falls(decay: str, half: float) -> None:
    config = TrainingConfig(learning_rate=0.02, final_learning_rate=0.1, warmup=0.2, decay=decay)  # type: ignore[arg-type]
    last = 1.0 if decay == "constant" else 0.1
    rates = [learning_rate(config, done) / 0.02 for done in (0.0, 0.09, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.1 / 1.1, 0.5, 1.0, half, last])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 200), st.floats(0, 0.9), st.integers(0, 5))
def test_an_epoch_shows_every_frame_and_enough_of_the_high_fidelity(
    n_high: int, n_low: int, share: float, epoch: int
) -> None:
    high, low = np.arange(n_high), np.arange(n_high, n_high + n_low)
    order = epoch_order(high, low, share, 3, epoch)
    counts = np.bincount(order, minlength=n_high + n_low)
    assert (counts[low] == 1).all()
    assert counts[high].min() >= 1
    assert counts[high].max() - counts[high].min() <= 1
    if n_low:
        assert counts[high].sum() / counts.sum() >= share - 1 / len(order)
    np.testing.assert_array_equal(order, epoch_order(high, low, share, 3, epoch))


@pytest.mark.parametrize(("n_high", "n_low"), [(10, 100), (60, 90), (3, 700)])
def test_four_frames_in_a_row_have_one_of_high_fidelity(n_high: int, n_low: int) -> None:
    """A quarter of an epoch is of high fidelity, and a batch of four large frames seldom goes without."""
    share = []
    for epoch in range(20):
        order = epoch_order(np.arange(n_high), np.arange(n_high, n_high + n_low), 0.25, 0, epoch)
        batches = order[: len(order) // 4 * 4].reshape(-1, 4)
        share.append(float((batches < n_high).any(axis=1).mean()))
    shuffled = 1 - 0.75**4
    assert np.mean(share) > 0.5 * (1 + shuffled)


def test_two_epochs_differ_in_order() -> None:
    high, low = np.arange(5), np.arange(5, 50)
    assert not np.array_equal(epoch_order(high, low, 0.2, 3, 0), epoch_order(high, low, 0.2, 3, 1))


def test_least_squares_finds_the_energies_that_made_the_data() -> None:
    frames = [Atoms(f) for f in ("H2O", "H2", "O2", "H2O2")]
    energies = np.array([2 * -13 - 2000, -26, -4000, -26 - 4000], dtype=float)
    found = least_squares_energies(frames, energies, (1, 8))
    np.testing.assert_allclose(found.values, (-13, -2000), rtol=1e-12)
    assert found.rank == 2


def test_compositions_are_counts_of_elements_by_ascending_number() -> None:
    frames = [Atoms("OH2"), Atoms("CH4")]
    assert composition(frames).tolist() == [[2, 0, 1], [4, 1, 0]]
    assert composition(frames, (6, 8, 1, 3)).tolist() == [[0, 1, 2, 0], [1, 0, 4, 0]]
    with pytest.raises(DataError, match="never seen"):
        composition(frames, (1, 8))


def test_fixed_stoichiometry_gives_the_minimum_norm_solution_and_says_so() -> None:
    found = least_squares_energies([Atoms("H2O")] * 3, np.full(3, 5.0), (1, 8))
    np.testing.assert_allclose(found.values, (2.0, 1.0))  # the multiple of (2, 1) that sums to 5
    assert found.rank == 1
    with pytest.raises(ConfigError, match="8"):
        isolated_energies({"H": -13.6}, (1, 8))


@pytest.mark.parametrize("amount", [0, -1, float("nan"), float("inf")])
def test_budgets_are_positive_numbers(amount: float) -> None:
    with pytest.raises(BudgetError, match="atom gradients"):
        Budget(amount)


def test_a_ledger_adds_up_its_stages_and_refuses_an_overdraft() -> None:
    ledger = Ledger([Stage("a", 60, wall_s=1.5), Stage("b", 50, wall_s=0.5)], n_parameters=7)
    assert (ledger.atom_gradients, ledger.wall_s) == (110, 2.0)
    assert Ledger.from_dict(ledger.as_dict()) == ledger
    ledger.check(Budget(110))
    with pytest.raises(BudgetError, match="110"):
        ledger.check(Budget(109))


def test_checkpoints_come_back_bit_for_bit_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.randn(3, 2, dtype=torch.float64), "b": torch.arange(4)}
    save_tensors(path, tensors, {"k": [1, 2]})
    again, header = load_tensors(path)
    assert all(torch.equal(tensors[k], again[k]) for k in tensors)
    assert header["k"] == [1, 2]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"x\.safetensors"):
        load_tensors(path)
    with pytest.raises(DataError, match="missing"):
        load_tensors(tmp_path / "missing")
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
