"""Slabs and wires: periodic in the directions that the atoms say, in every way that a potential is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, fcc100, molecule, nanotube

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import DataError, EstimateWarning
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.potentials.relax import relax

SPECIES = (1, 6, 8, 29)


def potential(precision: torch.dtype = torch.float64, **record: object) -> Potential:
    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=4.0, n_layers=2, lmax=1, channels=4, n_bessel=4, radial_hidden=(8,), zbl=True)
    core = EquivariantCore(config, SPECIES, ("low", "high"), "one_hot", 20.0).to(dtype=precision)
    return Potential("multi_fidelity", [core], {f: (Component(0, f),) for f in ("low", "high")}, record=dict(record))


def slab(vacuum: float | None) -> Atoms:
    atoms = fcc100("Cu", (1, 1, 3), vacuum=vacuum)
    atoms.rattle(0.05, seed=1)
    return atoms


def test_the_energy_of_a_slab_is_independent_of_vacuum() -> None:
    calculator = potential().calculator()
    energies, forces = [], []
    for vacuum in (None, 0.3, 1.0, 10.0):
        atoms = slab(vacuum)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    np.testing.assert_allclose(energies, energies[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(forces, [forces[0]] * 4, rtol=0, atol=1e-10)
    crystal = slab(1.0)
    crystal.pbc = True
    crystal.calc = calculator
    assert abs(crystal.get_potential_energy() - energies[0]) > 1e-4


@pytest.mark.parametrize("atoms", [slab(1.0), nanotube(4, 0, length=1), Atoms("Cu", cell=[0, 2.5, 0], pbc=(0, 1, 0))])
def test_a_slab_or_wire_is_the_limit_of_a_wide_crystal(atoms: Atoms) -> None:
    made = potential()
    wide = atoms.copy()
    cell = np.asarray(atoms.cell.complete())
    cell[~atoms.pbc] *= 60.0 / np.linalg.norm(cell[~atoms.pbc], axis=1)[:, None]
    wide.cell, wide.pbc = cell, True
    own, far = made.predict([atoms]), made.predict([wide])
    np.testing.assert_allclose(own.energies, far.energies, rtol=0, atol=1e-10)
    np.testing.assert_allclose(own.forces, far.forces, rtol=0, atol=1e-10)


def test_the_stress_of_a_slab_is_the_derivative_of_its_energy() -> None:
    calculator = potential().calculator()
    atoms = slab(3.0)
    atoms.calc = calculator
    stress = atoms.get_stress(voigt=False)
    for i, j in ((0, 0), (0, 1), (1, 1), (2, 2)):
        energies = []
        for step in (1e-5, -1e-5):
            strain = np.eye(3)
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            strained = slab(3.0)
            strained.set_cell(strained.cell.array @ strain, scale_atoms=True)
            strained.calc = calculator
            energies.append(strained.get_potential_energy())
        assert stress[i, j] == pytest.approx((energies[0] - energies[1]) / 2e-5 / atoms.get_volume(), abs=1e-7)


def test_a_slab_relaxes_in_its_cell() -> None:
    start = slab(5.0)
    found = relax(start, potential().calculator(), fmax=0.05, max_steps=300)
    np.testing.assert_array_equal(found.atoms.cell.array, start.cell.array)
    assert found.atoms.pbc.tolist() == [True, True, False]
    assert found.converged, found.problem


@pytest.mark.parametrize(
    ("cell", "pbc"), [([4, 4, 0], True), (None, (True, False, False)), ([[4, 0, 0], [8, 0, 0], [0, 0, 4]], True)]
)
def test_cells_that_cannot_be_are_refused_in_the_same_words_everywhere(cell: object, pbc: object) -> None:
    made, atoms = potential(), Atoms("Cu", cell=cell, pbc=pbc)
    told = []
    for ask in (
        lambda: made.predict([atoms]),
        lambda: made.calculator().calculate(atoms),
        lambda: relax(atoms, made.calculator()),
    ):
        with pytest.raises(DataError) as caught:
            ask()
        told.append(caught.value.problem)
    assert len(set(told)) == 1
    assert "lattice vector is zero" in told[0] or "no volume" in told[0]


def test_atoms_at_one_place_are_named_at_prediction() -> None:
    made, atoms = potential(), molecule("CH3OH")
    atoms.positions[4] = atoms.positions[5]
    with pytest.raises(DataError, match=r"frame 1.*atoms 4 and 5"):
        made.predict([molecule("H2O"), atoms])
    atoms.calc = made.calculator()
    with pytest.raises(DataError, match="atoms 4 and 5"):
        atoms.get_potential_energy()
    moving = molecule("CH3OH")
    moving.calc = made.calculator()
    moving.get_potential_energy()
    moving.positions[4] = moving.positions[5]
    with pytest.raises(DataError, match="atoms 4 and 5"):
        moving.get_potential_energy()


def test_a_prediction_that_is_no_number_is_an_error() -> None:
    made = potential()
    with torch.no_grad():
        next(iter(made.cores[0].parameters())).fill_(float("nan"))
    with pytest.raises(DataError, match=r"frame 0.*not finite"):
        made.predict([molecule("H2O")])


@pytest.mark.parametrize(
    "atoms", [molecule("CH3OH"), slab(1.0), bulk("Cu", cubic=True)], ids=["gas", "slab", "crystal"]
)
def test_far_from_the_origin_single_precision_gives_the_same(atoms: Atoms) -> None:
    made = potential(torch.float32)
    atoms = atoms.copy()
    atoms.rattle(0.05, seed=2)
    near = made.predict([atoms])
    atoms.positions += [1e4, -3e4, 2e4]
    far = made.predict([atoms])
    np.testing.assert_allclose(far.forces, near.forces, rtol=0, atol=1e-4)
    np.testing.assert_allclose(far.energies, near.energies, rtol=0, atol=1e-4)
    moved = atoms.copy()
    moved.calc = made.calculator()
    np.testing.assert_allclose(moved.get_forces(), near.forces[0], rtol=0, atol=1e-4)


def test_what_is_near_the_origin_is_left_to_the_last_bit() -> None:
    atoms = molecule("CH3OH")
    store = GraphStore([atoms], ["-"], ["-"], None, SPECIES, 4.0)
    np.testing.assert_array_equal(store.batch([0]).positions.numpy(), atoms.positions)


def test_estimated_elements_are_warned_of() -> None:
    made = potential(reference_energies={"high": {"estimated": [8]}, "low": {}})
    assert made.estimated("high") == {8}
    with pytest.warns(EstimateWarning, match="no 'high' label of the training has O"):
        made.predict([molecule("H2O")])
    with pytest.warns(EstimateWarning, match="O"):
        made.calculator("high")
    made.predict([molecule("CH4")])
    made.predict([molecule("H2O")], "low")


def test_elements_of_which_nothing_tells_the_energy_are_refused() -> None:
    made = potential(reference_energies={"low": {"estimated": [8], "unknown": [8]}, "high": {}})
    assert made.estimated("low") == frozenset()
    with pytest.raises(DataError, match=r"frame 1: no 'low' label .* has O: nothing tells its energy"):
        made.predict([molecule("CH4"), molecule("H2O")], "low")
    atoms = molecule("H2O")
    atoms.calc = made.calculator("low")
    with pytest.raises(DataError, match="O"):
        atoms.get_potential_energy()
    made.predict([molecule("CH4")], "low")
    made.predict([molecule("H2O")], "high")


def test_dynamics_of_a_slab_conserve_energy_and_see_no_image(tmp_path: Path) -> None:
    from ase.md.verlet import VelocityVerlet

    atoms = slab(0.5)
    atoms.calc = potential().calculator()
    atoms.set_velocities(np.random.default_rng(0).normal(scale=0.002, size=(3, 3)))
    start = atoms.get_total_energy()
    VelocityVerlet(atoms, 1.0 * units.fs).run(40)
    assert atoms.get_total_energy() == pytest.approx(start, abs=1e-4)
    free = slab(30.0)
    free.calc = potential().calculator()
    free.set_velocities(np.random.default_rng(0).normal(scale=0.002, size=(3, 3)))
    VelocityVerlet(free, 1.0 * units.fs).run(40)
    moved = free.positions - free.positions[0] - (atoms.positions - atoms.positions[0])
    np.testing.assert_allclose(moved, 0.0, atol=1e-8)
