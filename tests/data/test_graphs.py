"""Neighbour lists against every pair of every image, and their fixed order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data import graphs
from mfbench.mfcore.data.graphs import GraphStore, neighbour_list

Edge = tuple[int, int, int, int, int]


def every_pair(atoms: Atoms, cutoff: float) -> list[Edge]:
    """Receiver, sender and image of all pairs within the cutoff, in order; images of wrapped atoms are enough."""
    cell, periodic = atoms.cell.array, bool(atoms.pbc.any())
    wrapped = (
        np.floor(atoms.positions @ np.linalg.inv(cell)).astype(int) if periodic else np.zeros((len(atoms), 3), int)
    )
    inside = atoms.positions - wrapped @ cell
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0) if periodic else np.full(3, np.inf)
    reach = [range(-n, n + 1) for n in np.where(np.isinf(heights), 0, np.ceil(cutoff / heights) + 1).astype(int)]
    found = []
    for image in itertools.product(*reach):
        vectors = inside[None, :] - inside[:, None] + np.array(image) @ cell
        for i, j in np.argwhere((vectors**2).sum(-1) < cutoff**2):
            if i != j or any(image):
                found.append((int(i), int(j), *(int(x) for x in np.array(image) - wrapped[j] + wrapped[i])))
    return sorted(found)


def assert_complete(atoms: Atoms, cutoff: float) -> None:
    wanted = np.array(every_pair(atoms, cutoff), dtype=np.int64).reshape(-1, 5)
    sender, receiver, shift = neighbour_list(atoms, cutoff)
    assert (sender.dtype, receiver.dtype, shift.dtype) == (np.int64, np.int64, np.float64)
    np.testing.assert_array_equal(receiver, wanted[:, 0])
    np.testing.assert_array_equal(sender, wanted[:, 1])
    box = atoms.cell.array if atoms.pbc.any() else np.zeros((3, 3))
    np.testing.assert_allclose(shift, wanted[:, 2:] @ box, rtol=1e-13, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n_atoms=st.integers(1, 9), size=st.sampled_from([2.0, 4.0, 9.0]), far=st.booleans())
def test_all_pairs_of_random_cells(seed: int, n_atoms: int, size: float, far: bool) -> None:
    rng = np.random.default_rng(seed)
    cell = size * (np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)))
    places = rng.uniform(-2, 3, (n_atoms, 3)) + (rng.integers(-(10**7), 10**7, (n_atoms, 3)) if far else 0)
    assert_complete(Atoms([1] * n_atoms, positions=places @ cell, cell=cell, pbc=True), 3.1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n_atoms=st.integers(1, 20), size=st.sampled_from([1.0, 4.0, 20.0]))
def test_all_pairs_of_random_molecules(seed: int, n_atoms: int, size: float) -> None:
    positions = size * np.random.default_rng(seed).standard_normal((n_atoms, 3))
    assert_complete(Atoms([1] * n_atoms, positions=positions), 3.1)


def test_a_cell_of_one_atom() -> None:
    for cutoff in (2.0, 3.0, 5.2, 9.0):
        assert_complete(bulk("Cu", "fcc", a=3.6), cutoff)
    assert_complete(Atoms("H"), 3.0)


@pytest.mark.parametrize("at_once", [1, 7, 1 << 14])
def test_parts_of_a_list_make_the_whole(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(2)
    crystal.rattle(0.1, seed=0)
    monkeypatch.setattr(graphs, "_AT_ONCE", at_once)
    assert_complete(crystal, 4.0)


def test_keys_that_do_not_hold_an_image_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    crystal.rattle(0.1, seed=0)
    packed = neighbour_list(crystal, 6.0)
    monkeypatch.setattr(graphs, "_KEY_BITS", 5)
    for one, other in zip(packed, neighbour_list(crystal, 6.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_frame_alone_is_that_frame_among_others() -> None:
    frames = [molecule("H2O"), bulk("NaCl", "rocksalt", a=5.6).repeat(2), molecule("CH4")]
    store = GraphStore(frames, ["a"] * 3, ["a"], None, (1, 6, 8, 11, 17), 4.0)
    for number, atoms in enumerate(frames):
        alone = store.batch([number])
        twice = store.batch([number, number])  # gathered
        n_atoms, n_edges = len(atoms), alone.sender.shape[0]
        assert n_edges == int(store.n_edges[number])
        for name in ("species", "positions", "frame"):
            assert torch.equal(getattr(alone, name), getattr(twice, name)[:n_atoms])
        for name in ("sender", "receiver", "shift"):
            assert torch.equal(getattr(alone, name), getattr(twice, name)[:n_edges])
        assert torch.equal(alone.row_pointer, twice.row_pointer[: n_atoms + 1])
        assert torch.equal(twice.sender[n_edges:], alone.sender + n_atoms)


def test_what_is_done_to_atoms_later_does_not_change_their_graph() -> None:
    water = molecule("H2O")
    batch = GraphStore([water], ["a"], ["a"], None, (1, 8), 3.0).batch([0])
    before = batch.positions.clone()
    water.positions += 1.0
    assert torch.equal(batch.positions, before)


def test_a_list_too_large_to_keep_pushes_no_other_out() -> None:
    kept, small, large = graphs._Kept(30), molecule("H2O"), molecule("C6H6")
    first = kept.find(small, 3.0)
    assert len(kept.find(large, 6.0)[0]) == 12 * 11
    assert kept.find(small, 3.0)[0] is first[0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n_atoms=st.integers(1, 6), size=st.sampled_from([2.0, 4.0, 9.0]))
def test_the_half_list_has_each_pair_once(seed: int, n_atoms: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    cell = size * (np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)))
    atoms = Atoms([1] * n_atoms, positions=rng.uniform(0, 1, (n_atoms, 3)) @ cell, cell=cell, pbc=True)
    batch = GraphStore([atoms] * 2, ["-"] * 2, ["-"], None, (1,), 3.1).batch([0, 1])
    half = batch.each_pair_once
    assert int(half.sum()) * 2 == len(batch.sender)
    vectors = batch.positions[batch.sender] - batch.positions[batch.receiver] + batch.shift
    forth = torch.cat([batch.receiver[half, None], batch.sender[half, None], vectors[half]], dim=1)
    back = torch.cat([batch.sender[~half, None], batch.receiver[~half, None], -vectors[~half]], dim=1)
    ordered = [sorted(tuple(round(x, 6) + 0.0 for x in row) for row in part.tolist()) for part in (forth, back)]
    assert ordered[0] == ordered[1]


def test_shortest_edges_of_a_molecule_of_an_atom_and_its_images_and_of_a_lone_atom() -> None:
    cell = Atoms("Cu", [[0.3, 0.2, 0.1]], cell=[[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], pbc=True)
    frames = [Atoms("H2O", [[0, 0, 0.8], [0, 0.7, 0.1], [0, 0, 0]]), cell, Atoms("H")]
    store = GraphStore(frames, ["-"] * 3, ["-"], None, (1, 8, 29), 4.0)
    molecule = frames[0].get_all_distances()[np.triu_indices(3, 1)].min()
    assert store.shortest_edges().tolist() == pytest.approx([molecule, 1.8 * np.sqrt(2.0), np.inf])
