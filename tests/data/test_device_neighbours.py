"""Neighbour lists in torch equal vesin's, edge by edge and in the same order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data import device_neighbours
from mfbench.mfcore.data.device_neighbours import NeighbourLists, neighbour_lists, neighbour_lists_of
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.errors import DataError


def random_frame(rng: np.random.Generator, n_atoms: int, size: float, periodic: bool) -> Atoms:
    """Atoms anywhere, also outside of the lattice's first image; cells of any shape and handedness."""
    if not periodic:
        return Atoms(numbers=[1] * n_atoms, positions=size * rng.standard_normal((n_atoms, 3)))
    cell = np.zeros((3, 3))
    while abs(np.linalg.det(cell)) < 0.1 * size**3:  # not flat, or it would have a great many images
        cell = size * rng.uniform(-1, 1, (3, 3))
    directions = [True] * 3 if rng.random() < 0.5 else rng.random(3) < 0.5
    return Atoms(numbers=[1] * n_atoms, positions=rng.uniform(-2, 3, (n_atoms, 3)) @ cell, cell=cell, pbc=directions)


def assert_equal_to_vesin(found: NeighbourLists, frames: list[Atoms], cutoff: float) -> None:
    first, senders, receivers, shifts = 0, [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros((0, 3))]
    for atoms in frames:
        sender, receiver, shift = neighbour_list(atoms, cutoff)
        senders.append(sender + first)
        receivers.append(receiver + first)
        shifts.append(shift)
        first += len(atoms)
    np.testing.assert_array_equal(found.receiver.cpu(), np.concatenate(receivers))
    np.testing.assert_array_equal(found.sender.cpu(), np.concatenate(senders))
    np.testing.assert_allclose(found.shift.cpu(), np.concatenate(shifts), rtol=0, atol=1e-10)
    counts = np.bincount(np.concatenate(receivers), minlength=first)
    np.testing.assert_array_equal(found.row_pointer.cpu(), np.concatenate([[0], counts.cumsum()]))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_molecules_and_cells_equal_vesin(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    frames = [
        random_frame(
            rng,
            data.draw(st.integers(1, 12)),
            data.draw(st.sampled_from([1.5, 4.0, 15.0])),
            data.draw(st.booleans()),
        )
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    cutoff = data.draw(st.sampled_from([2.0, 3.0, 4.5]))  # shorter ones make vesin's search of large wires slow
    assert_equal_to_vesin(neighbour_lists_of(frames, cutoff), frames, cutoff)


def test_one_atom_sees_its_own_images() -> None:
    copper = bulk("Cu", "fcc", a=3.6)
    shells = [(3.0, 12), (3.7, 18), (4.5, 42), (5.2, 54)]  # 12 at a/√2, 6 at a, 24 at a √(3/2), 12 at a √2
    for cutoff, number in shells:
        found = neighbour_lists_of([copper], cutoff)
        assert found.sender.shape == (number,)
        assert bool((found.image != 0).any(1).all())
        assert_equal_to_vesin(found, [copper], cutoff)


def test_frames_do_not_see_one_another_and_may_be_empty_or_alone() -> None:
    water, lone, nothing = molecule("H2O"), Atoms("O"), Atoms()
    frames = [water, lone, nothing, water, bulk("NaCl", "rocksalt", a=5.6)]
    found = neighbour_lists_of(frames, 4.0)
    assert_equal_to_vesin(found, [frame for frame in frames if len(frame)], 4.0)
    assert found.row_pointer[3] == found.row_pointer[4] == 6
    assert neighbour_lists_of([], 4.0).sender.shape == (0,)
    assert neighbour_lists_of([lone], 4.0).row_pointer.tolist() == [0, 0]


def test_atoms_far_apart_do_not_ask_for_memory() -> None:
    far = Atoms("H4", [[0, 0, 0], [1.0, 0, 0], [1e7, 1e7, -1e7], [1e7, 1e7, 1 - 1e7]])
    assert neighbour_lists_of([far], 2.0).sender.tolist() == [1, 0, 3, 2]
    diffused = bulk("Cu", "fcc", a=3.6, cubic=True)
    diffused.positions[1] += 50 * diffused.cell.array[0] - 1000 * diffused.cell.array[2]
    assert_equal_to_vesin(neighbour_lists_of([diffused], 3.0), [diffused], 3.0)


def test_atoms_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_neighbours, "_ATOMS_AT_ONCE", 3)
    crystal = bulk("NaCl", "rocksalt", a=5.6).repeat(2)
    crystal.rattle(0.1, seed=0)
    assert_equal_to_vesin(neighbour_lists_of([crystal, molecule("H2O")], 4.0), [crystal, molecule("H2O")], 4.0)


def test_a_crystal_of_many_cells_equals_vesin() -> None:
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((6, 5, 4))
    crystal.rattle(0.1, seed=0)
    assert_equal_to_vesin(neighbour_lists_of([crystal], 4.2), [crystal], 4.2)


def test_faults_are_named() -> None:
    water = molecule("H2O")
    water.positions[1, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        neighbour_lists_of([water], 3.0)
    arguments = (torch.zeros(1, 3), torch.tensor([1]), torch.zeros(1, 3, 3))
    with pytest.raises(DataError, match="without volume"):
        neighbour_lists(*arguments, torch.tensor([[True] * 3]), 3.0)
    assert neighbour_lists(*arguments, torch.tensor([[False] * 3]), 3.0).sender.shape == (0,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_list_is_the_same_on_a_gpu() -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.6).repeat(3)
    crystal.rattle(0.1, seed=0)
    frames = [crystal, molecule("H2O")]
    assert_equal_to_vesin(neighbour_lists_of(frames, 4.5, "cuda"), frames, 4.5)
