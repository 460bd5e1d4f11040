"""Lists that follow moving atoms and cells are those that are made anew, and are made anew seldom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.benchmarks.exports.lists import MovingLists, Pairs
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.errors import ConfigError, DataError
from tests.exports.worlds import crystals, frames

CUTOFF = 4.0


def asked(lists: MovingLists, systems: list[Atoms]) -> Pairs:
    return lists.pairs(
        torch.from_numpy(np.concatenate([a.positions for a in systems])),
        torch.tensor([len(a) for a in systems]),
        torch.from_numpy(np.array([a.cell.array for a in systems])),
        torch.from_numpy(np.array([a.pbc for a in systems])),
    )


def sorted_vectors(receiver: np.ndarray, sender: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    rows = np.column_stack([receiver, sender, np.round(vectors, 6)])
    order = np.lexsort(rows.T[::-1])
    return np.column_stack([receiver, sender, vectors])[order]


def assert_fresh(found: Pairs, systems: list[Atoms]) -> None:
    first, rows = 0, []
    for atoms in systems:
        sender, receiver, shift = neighbour_list(atoms, CUTOFF)
        vectors = atoms.positions[sender] - atoms.positions[receiver] + shift
        rows.append(sorted_vectors(receiver + first, sender + first, vectors))
        first += len(atoms)
    expected = np.concatenate(rows)
    mine = sorted_vectors(found.receiver.numpy(), found.sender.numpy(), found.vectors.numpy())
    assert bool((found.receiver.diff() >= 0).all())
    assert mine.shape == expected.shape
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-9)


def test_of_all_periodicities_in_one_batch() -> None:
    lists = MovingLists(CUTOFF, 1.0)
    assert_fresh(asked(lists, frames()), frames())
    assert lists.n_builds == len(frames())


def test_atoms_that_move_and_are_wrapped_keep_their_lists() -> None:
    rng, systems, lists = np.random.default_rng(0), frames(), MovingLists(CUTOFF, 1.0)
    for step in range(12):
        for k, atoms in enumerate(systems):
            atoms.positions += rng.normal(0, 0.03, atoms.positions.shape) + 0.7  # all of them drift
            if k % 2 == step % 2:
                atoms.wrap()
            elif atoms.pbc.any():
                repeats = rng.integers(-2, 3, (len(atoms), 3)) * atoms.pbc
                atoms.positions += repeats @ atoms.cell.array
        assert_fresh(asked(lists, systems), systems)
    assert lists.n_builds == len(systems)
    assert not lists.cells_moved


def test_large_steps_are_seen() -> None:
    rng, systems, lists = np.random.default_rng(1), frames(), MovingLists(CUTOFF, 0.5)
    for _ in range(10):
        for atoms in systems:
            atoms.positions += rng.normal(0, 0.3, atoms.positions.shape)
        assert_fresh(asked(lists, systems), systems)
    assert lists.n_builds > 2 * len(systems)


def test_one_that_has_moved_far_leaves_the_others_their_lists() -> None:
    systems, lists = frames(), MovingLists(CUTOFF, 1.0)
    asked(lists, systems)
    systems[0].positions[0] += 0.9
    assert_fresh(asked(lists, systems), systems)
    assert lists.n_builds == len(systems) + 1


@pytest.mark.parametrize("size", [0.003, 0.08])
def test_cells_that_are_strained(size: float) -> None:
    rng, systems, lists = np.random.default_rng(2), frames(), MovingLists(CUTOFF, 1.0)
    moving = [a for a in systems if a.pbc.any()]
    for _ in range(10):
        for atoms in moving:
            strain = np.eye(3) + size * rng.normal(size=(3, 3))
            atoms.set_cell(np.where(atoms.pbc[:, None], atoms.cell.array @ strain, atoms.cell.array))
            atoms.positions = atoms.positions @ strain + 0.2
        assert_fresh(asked(lists, systems), systems)
    assert lists.cells_moved
    assert lists.n_builds < (2 if size < 0.01 else 12) * len(systems)


def test_other_systems_begin_anew() -> None:
    systems, lists = frames(), MovingLists(CUTOFF, 1.0)
    asked(lists, systems)
    for other in (systems[2:], systems[::-1], crystals()):
        assert_fresh(asked(lists, other), other)


def test_without_a_skin_every_step_is_a_build() -> None:
    systems, lists = crystals(), MovingLists(CUTOFF, 0.0)
    for _ in range(3):
        systems[-2].positions[0] += 0.01
        assert_fresh(asked(lists, systems), systems)
    with pytest.raises(ConfigError, match="skin"):
        MovingLists(CUTOFF, -0.1)


def broken(kind: str) -> list[Atoms]:
    systems = crystals()
    if kind == "nan":
        systems[1].positions[2, 0] = np.nan
    elif kind == "flat":
        systems[1].cell[2] = systems[1].cell[0]
    else:
        systems[1].cell[0] = np.inf
    return systems


@pytest.mark.parametrize("kind", ["nan", "flat", "infinite"])
@pytest.mark.parametrize("before", [True, False])
def test_what_cannot_be_is_refused_by_the_number_of_the_system(kind: str, before: bool) -> None:
    lists = MovingLists(CUTOFF, 1.0)
    if before:
        asked(lists, crystals())
    with pytest.raises(DataError, match="system 1: "):
        asked(lists, broken(kind))
