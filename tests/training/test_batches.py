"""Batches packed by atoms or edges, resuming them bit for bit, and graphs gathered from the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data import graphs
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.graphs import GraphStore, neighbour_list
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import BATCH_ATOMS, TrainingConfig
from mfbench.mfcore.training.sampler import batch_ends
from mfbench.mfcore.training.stage import StageTask
from mfbench.mfcore.training.trainer import StageTrainer

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 60), st.integers(1, 300), st.integers(0, 5))
def test_batches_are_as_full_as_the_limits_allow(sizes: list[int], atoms: int, edges: int, seed: int) -> None:
    n_atoms, n_edges = np.array(sizes), 3 * np.array(sizes) ** 2 // 5
    order = np.random.default_rng(seed).permutation(len(sizes))
    ends = batch_ends(order, None, ((n_atoms, atoms), (n_edges, edges)))
    assert ends[-1] == len(order)
    starts = np.concatenate([[0], ends[:-1]])
    assert (ends > starts).all()
    for first, last in zip(starts, ends, strict=True):
        chosen = order[first:last]
        assert len(chosen) == 1 or (n_atoms[chosen].sum() <= atoms and n_edges[chosen].sum() <= edges)
        if last < len(order):  # the next frame would not have fitted
            more = order[first : last + 1]
            assert n_atoms[more].sum() > atoms or n_edges[more].sum() > edges


def test_batches_by_frames() -> None:
    assert batch_ends(np.arange(10), 4, ()).tolist() == [4, 8, 10]
    assert batch_ends(np.arange(8), 4, ()).tolist() == [4, 8]
    assert batch_ends(np.arange(5), None, ((np.full(5, 3), None), (np.full(5, 10), 20))).tolist() == [2, 4, 5]


def test_frames_and_atoms_contradict_each_other() -> None:
    assert TrainingConfig().atoms_per_batch == BATCH_ATOMS
    assert TrainingConfig(batch_frames=3).atoms_per_batch is None
    assert TrainingConfig(batch_edges=9).atoms_per_batch is None
    assert TrainingConfig(batch_atoms=100, batch_edges=9).atoms_per_batch == 100
    for other in ("batch_atoms", "batch_edges"):
        with pytest.raises(ValidationError, match="not both"):
            TrainingConfig(**{"batch_frames": 4, other: 100})


class Killed(Exception):
    """Stands for the end of a process."""


def frames_of_many_sizes() -> list[Atoms]:
    made = []
    for number, name in enumerate(["H2O", "CH4", "CO2", "CH3CH2OH", "H2", "CO"] * 3):
        atoms = molecule(name)
        atoms.rattle(0.1, seed=number)
        rng = np.random.default_rng(number)
        set_labels(atoms, "high", energy=float(rng.normal()), forces=rng.normal(size=(len(atoms), 3)))
        made.append(atoms)
    return made


def trainer(path: Path | None, progress: Callable[..., None] | None = None, **options: Any) -> StageTrainer:
    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=3.0, n_layers=2, lmax=1, channels=4, radial_hidden=(8,))
    core = EquivariantCore(config, (1, 6, 8), ("high",), "none", 5.0)
    frames = frames_of_many_sizes()
    task = StageTask("t", {"high": frames[:-4]}, {"high": LabelSet.parse("EF")}, "high", frames[-4:])
    training = TrainingConfig(**({"validation_checks": 6, "checkpoint_s": 0.0} | options))
    return StageTrainer(core, task, training, Budget(600.0), 3, path, progress)


def weights(of: StageTrainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in of.core.parameters()]


@pytest.mark.parametrize("options", [{"batch_frames": 4}, {"batch_atoms": 20}, {"batch_edges": 90, "batch_atoms": 30}])
def test_a_resumed_stage_is_the_uninterrupted_one_bit_for_bit(options: dict[str, int], tmp_path: Path) -> None:
    plain = trainer(None, **options)
    stage = plain.fit()
    assert 0.8 * 600 < stage.atom_gradients <= 600

    def die(name: str, spent: float, budget: float) -> None:
        if 250 < spent < 600:
            raise Killed

    path = tmp_path / "c.ckpt"
    with pytest.raises(Killed):
        trainer(path, die, **options).fit()
    assert path.exists()
    resumed = trainer(path, **options)
    again = resumed.fit()
    assert again.steps == stage.steps
    assert again.atom_gradients == stage.atom_gradients
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(resumed), strict=True))


def test_recomputing_layers_trains_the_same(tmp_path: Path) -> None:
    plain, again = (
        trainer(None, batch_atoms=20, activation_checkpointing=r, precision="float64", optimizer="adamw")
        for r in (False, True)
    )
    plain.fit()
    again.fit()
    for a, b in zip(weights(plain), weights(again), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_a_batch_is_its_frames() -> None:
    frames = [*frames_of_many_sizes()[:4], bulk("NaCl", "rocksalt", a=5.6).repeat(2), Atoms("O")]
    for atoms in frames:
        atoms.numbers = np.where(np.isin(atoms.numbers, (1, 6, 8)), atoms.numbers, 8)
    store = GraphStore(frames, ["high"] * 6, ["low", "high"], None, (1, 6, 8), 4.0)
    order = [4, 0, 5, 2]
    batch, start = store.batch(order), 0
    for number, index in enumerate(order):
        atoms = frames[index]
        sender, receiver, shift = neighbour_list(atoms, 4.0)
        chosen = batch.frame == number
        edges = chosen[batch.receiver]
        np.testing.assert_array_equal(batch.positions[chosen].numpy(), atoms.positions)
        np.testing.assert_array_equal(np.array([1, 6, 8])[batch.species[chosen]], atoms.numbers)
        np.testing.assert_array_equal(batch.sender[edges].numpy() - start, sender)
        np.testing.assert_array_equal(batch.receiver[edges].numpy() - start, receiver)
        np.testing.assert_array_equal(batch.shift[edges].numpy(), shift)
        start += len(atoms)
    counts = np.diff(batch.row_pointer.numpy())
    np.testing.assert_array_equal(counts, np.bincount(batch.receiver.numpy(), minlength=start))
    assert batch.has_forces
    assert not batch.has_stress
    assert not store.batch([4]).has_forces


def test_a_store_in_another_dtype_keeps_energies() -> None:
    store = GraphStore(frames_of_many_sizes(), ["high"] * 18, ["high"], None, (1, 6, 8), 3.0)
    wanted = store.batch([3, 1]).to("cpu", torch.float32)
    got = store.to("cpu", torch.float32).batch([3, 1])
    assert got.energy.dtype == torch.float64
    for name in ("positions", "shift", "forces", "energy", "sender", "row_pointer"):
        assert torch.equal(getattr(got, name), getattr(wanted, name))


def test_neighbour_lists_are_found_once_and_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count(atoms: Atoms, cutoff: float) -> Any:
        calls.append(len(atoms))
        return neighbour_list(atoms, cutoff)

    monkeypatch.setattr(graphs, "neighbour_list", count)
    kept = graphs._Kept(50)
    one, other = molecule("CH4"), molecule("CH4")
    assert kept.find(one, 3.0)[0] is kept.find(other, 3.0)[0]  # 20 edges
    other.positions += 0.1
    kept.find(other, 3.0)
    kept.find(one, 2.0)
    assert len(calls) == 3
    kept.find(one, 3.0)  # the first was forgotten: 50 are the most
    assert len(calls) == 4
    cell = Atoms("O", cell=np.eye(3) * 2.5)
    assert len(kept.find(cell, 3.0)[0]) == 0
    cell.pbc = True
    assert len(kept.find(cell, 3.0)[0]) > 0
