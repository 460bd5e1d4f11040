"""Periodic directions one by one: distances, coincident atoms, cells that cannot be; ASE is the reference."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc100, nanotube
from ase.geometry import minkowski_reduce
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data import periodic
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.data.periodic import cell_problem, coincident, pair_distances, repeated_volume, whole_cell

CELLS = {
    "right angles": np.diag([5.0, 6.0, 7.0]),
    "skewed": np.array([[3.0, 0, 0], [1.4, 2.7, 0], [2.3, 0.9, 2.0]]),
    "left-handed": np.array([[0, 3.6, 3.6], [3.6, 0, 3.6], [3.6, 3.6, 0]])[::-1],
    "skewed a lot": np.array([[4.0, 0, 0], [3.9, 2, 0], [1, 2, 8]]),
}
PBC = list(product((True, False), repeat=3))


@pytest.mark.parametrize("pbc", PBC, ids=lambda p: "".join("FT"[x] for x in p))
@pytest.mark.parametrize("name", CELLS)
def test_distances_are_those_to_the_nearest_of_all_images(name: str, pbc: tuple[bool, bool, bool]) -> None:
    atoms = Atoms("Cu7", np.random.default_rng(0).normal(size=(7, 3)) * 4, cell=CELLS[name], pbc=pbc)
    i, j = np.triu_indices(7, 1)
    steps = atoms.positions[j] - atoms.positions[i]
    images = np.array(list(product(*(range(-14, 15) if p else (0,) for p in pbc)))) @ atoms.cell.array
    expected = np.linalg.norm(steps[:, None] + images, axis=2).min(axis=1)
    np.testing.assert_allclose(pair_distances(atoms), expected, atol=1e-10)


@pytest.mark.parametrize("cutoff", [2.0, 5.0, 9.0])
@pytest.mark.parametrize("pbc", PBC[1:], ids=lambda p: "".join("FT"[x] for x in p))
def test_neighbours_in_every_direction_are_those_of_ase(cutoff: float, pbc: tuple[bool, bool, bool]) -> None:
    for name, cell in CELLS.items():
        atoms = Atoms("Cu3", np.random.default_rng(1).normal(size=(3, 3)) * 4, cell=cell, pbc=pbc)
        sender, receiver, shift = neighbour_list(atoms, cutoff)
        found = np.linalg.norm(atoms.positions[sender] - atoms.positions[receiver] + shift, axis=1)
        expected = neighbor_list("ijd", atoms, cutoff)
        assert len(found) == len(expected[2]), name
        order = np.lexsort((np.round(expected[2], 6), expected[1], expected[0]))
        mine = np.lexsort((np.round(found, 6), sender, receiver))
        np.testing.assert_array_equal(receiver[mine], expected[0][order])
        np.testing.assert_allclose(found[mine], expected[2][order], atol=1e-9)


def test_directions_without_a_vector_get_one() -> None:
    for atoms in (fcc100("Cu", (2, 2, 3)), nanotube(6, 0, length=1), Atoms("H", cell=[0, 2.5, 0], pbc=(0, 1, 0))):
        cell = whole_cell(atoms)
        assert abs(np.linalg.det(cell)) > 0.1
        np.testing.assert_array_equal(cell[atoms.pbc], atoms.cell.array[atoms.pbc])
        assert np.isnan(repeated_volume(atoms)) or atoms.cell.rank == 3
        assert cell_problem(atoms) is None


@pytest.mark.parametrize(
    ("cell", "pbc", "text"),
    [
        ([5, 5, 0], (1, 1, 1), "along c and that lattice vector is zero"),
        ([0, 0, 0], (0, 1, 0), "along b and that lattice vector is zero"),
        ([[5, 0, 0], [0, 5, 0], [5, 5, 0]], (1, 1, 1), "no volume"),
        ([[5, 0, 0], [10, 0, 0], [0, 0, 9]], (1, 1, 0), "no volume"),
        ([0.3, 5, 5], (1, 0, 0), "0.3 Å"),
        ([np.nan, 5, 5], (0, 0, 0), "not a finite number"),
        ([0.6, 0.6, 0.6], (1, 1, 1), "Å³ an atom"),
    ],
)
def test_cells_that_cannot_be(cell: object, pbc: object, text: str) -> None:
    problem = cell_problem(Atoms("H", cell=cell, pbc=pbc))
    assert problem is not None
    assert text in problem[0]


@pytest.mark.parametrize("cell", [[9, 0, 0], [9, 8, 0], [9, 8, 0.1]])
def test_cells_of_other_directions_may_be_anything(cell: list[float]) -> None:
    assert cell_problem(Atoms("H", cell=cell, pbc=(1, 0, 0))) is None
    assert cell_problem(Atoms("H", cell=cell, pbc=False)) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(sorted(CELLS)),
    pbc=st.tuples(*[st.booleans()] * 3),
    apart=st.sampled_from([0.0, 1e-9, 0.03, 0.2]),
)
def test_atoms_at_one_place_are_found_across_borders(seed: int, name: str, pbc: tuple[bool, ...], apart: float) -> None:
    rng = np.random.default_rng(seed)
    cell = CELLS[name]
    places = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.4], [0.0, 0.9, 0.9]]) @ cell
    direction = rng.normal(size=3)
    step = apart * direction / np.linalg.norm(direction) + (rng.integers(-2, 3, 3) * np.array(pbc)) @ cell
    atoms = Atoms("Cu4", [*places, places[2] + step], cell=cell, pbc=pbc)
    found = coincident(atoms)
    if apart < 0.05:
        assert found is not None
        assert found[:2] == (2, 3)
        assert found[2] == pytest.approx(apart, abs=1e-8)
    else:
        assert found is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_lattice_is_reduced_once_for_all_frames_that_have_it(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def count(cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(cell)
        return minkowski_reduce(cell, pbc=pbc)

    monkeypatch.setattr(periodic, "minkowski_reduce", count)
    rng = np.random.default_rng(7)
    vectors = np.array([[9.0, 0.4, 0.1], [4.4, 7.9, -0.2], [-3.0, 2.0, 6.8]]) + rng.uniform(0, 1e-3, (3, 3))
    for _ in range(5):
        atoms = Atoms("C40", positions=rng.uniform(-20, 20, (40, 3)), cell=vectors[list(order)], pbc=True)
        pairs = np.triu_indices(40, 1)
        images = np.array(list(product(range(-6, 7), repeat=3))) @ atoms.cell.array
        steps = atoms.positions[pairs[1]] - atoms.positions[pairs[0]]
        steps -= np.round(steps @ np.linalg.inv(atoms.cell.array)) @ atoms.cell.array
        nearest = np.linalg.norm(steps[:, None] + images, axis=2).min(axis=1)
        np.testing.assert_allclose(pair_distances(atoms), nearest, atol=1e-12)
    assert len(calls) == 1
