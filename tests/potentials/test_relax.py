"""Relaxation reaches known minima, and says why where it does not."""

from __future__ import annotations

import sys
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.optimize import BFGSLineSearch

from mfbench.mfcore.potentials.relax import relax


class Wells(Calculator):
    """Independent harmonic wells at the corners of the start, and a cell that wants `volume`; both known exactly."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, volume: float, floor: float = -3.0, poison: str = "") -> None:
        super().__init__()
        self.volume, self.floor, self.poison, self.calls = volume, floor, poison, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        off = self.atoms.get_volume() / self.volume - 1.0
        stress = np.zeros(6)
        stress[:3] = 2.0 * off / self.volume  # dE/dV of E = off², times the unit matrix
        self.results = {"energy": self.floor + off**2, "forces": np.zeros((len(self.atoms), 3)), "stress": stress}
        if self.poison and self.calls > 2:
            self.results[self.poison] = np.full_like(np.asarray(self.results[self.poison], dtype=float), np.nan)


def fcc(strain: float, rattle: float) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    rng = np.random.default_rng(5)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, strain, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, rattle, atoms.positions.shape)
    return atoms


@pytest.mark.parametrize(("strain", "rattle"), [(0.005, 0.01), (0.04, 0.1)])
def test_a_disturbed_crystal_finds_its_lattice_constant(strain, rattle):
    start = fcc(strain, rattle)
    before = start.copy()
    found = relax(start, EMT(), fmax=0.001)
    assert found.converged
    assert found.problem == ""
    # cubic, and a longer or shorter lattice constant has a higher energy
    lattice = found.atoms.get_volume() ** (1 / 3)
    energies = []
    for a in (lattice - 0.01, lattice, lattice + 0.01):
        cubic = bulk("Cu", a=a, cubic=True)
        cubic.calc = EMT()
        energies.append(cubic.get_potential_energy())
    assert min(energies) == energies[1]
    assert found.energy_ev == pytest.approx(energies[1], abs=1e-4)
    assert lattice == pytest.approx(3.59, abs=0.01)
    assert (start.positions == before.positions).all()
    assert (start.cell.array == before.cell.array).all()


def test_a_dimer_without_a_cell_finds_the_minimum_of_lennard_jones():
    found = relax(Atoms("Ar2", [[0, 0, 0], [0, 0, 1.3]]), LennardJones(rc=20.0), fmax=1e-4)
    assert found.converged
    assert found.atoms.get_distance(0, 1) == pytest.approx(2 ** (1 / 6), abs=1e-4)
    assert found.energy_ev == pytest.approx(-1.0, abs=1e-4)


def test_the_cell_goes_to_the_volume_that_the_stress_asks_for():
    start = bulk("Cu", cubic=True)
    wanted = 1.1 * start.get_volume()
    found = relax(start, Wells(wanted), fmax=1e-5)
    assert found.converged
    assert found.atoms.get_volume() == pytest.approx(wanted, rel=1e-3)
    assert found.energy_ev == pytest.approx(-3.0, abs=1e-6)


@pytest.mark.parametrize("poison", ["energy", "forces", "stress"])
def test_what_is_no_number_ends_it(poison):
    start = bulk("Cu", cubic=True)
    found = relax(start, Wells(1.1 * start.get_volume(), poison=poison), fmax=1e-6)
    assert not found.converged
    assert "not finite" in found.problem
    assert np.isnan(found.energy_ev)


def test_a_cell_that_never_ends_growing_has_exploded():
    start = bulk("Cu", cubic=True)
    found = relax(start, Wells(3.0 * start.get_volume()), fmax=1e-6, max_steps=2000)
    assert "volume" in found.problem
    assert np.isnan(found.energy_ev)


def test_too_few_steps_are_a_failure():
    found = relax(fcc(0.04, 0.1), EMT(), fmax=0.001, max_steps=2)
    assert found.problem == "not converged in 2 steps"
    assert found.steps == 2
    assert np.isnan(found.energy_ev)


def test_atoms_on_top_of_each_other_are_a_collision():
    found = relax(Atoms("Ar2", [[0, 0, 0], [0, 0, 0.5]]), LennardJones(rc=20.0))
    assert "force" in found.problem
    assert found.steps == 0


def test_a_line_search_that_fails_is_not_the_end(monkeypatch, capsys):
    step = BFGSLineSearch.step

    def third_fails(self, *args, **kwargs):
        sys.stdout.write("ASE prints on its way")
        if self.nsteps == 2:
            raise RuntimeError("LineSearch failed!")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(BFGSLineSearch, "step", third_fails)
    found = relax(fcc(0.02, 0.05), EMT(), fmax=0.005)
    assert found.converged
    assert found.steps > 2
    assert found.atoms.get_volume() ** (1 / 3) == pytest.approx(3.59, abs=0.01)
    assert capsys.readouterr().out == ""
    cut = relax(fcc(0.02, 0.05), EMT(), fmax=0.005, max_steps=4)  # both together
    assert (cut.steps, cut.problem) == (4, "not converged in 4 steps")


def test_a_programming_error_is_no_failed_relaxation():
    class Broken(EMT):
        def calculate(self, *args, **kwargs) -> None:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        relax(fcc(0.01, 0.01), Broken())


def test_at_fixed_volume_only_the_shape_relaxes():
    start = fcc(0.0, 0.02)
    start.set_cell(start.cell.array @ np.diag([1.04, 1.0, 0.98]), scale_atoms=True)
    found = relax(start, EMT(), fmax=0.002, fixed_volume=True)
    assert found.converged
    assert found.atoms.get_volume() == pytest.approx(start.get_volume(), rel=1e-6)
    lengths = found.atoms.cell.lengths()
    assert lengths == pytest.approx(lengths.mean(), rel=2e-3)  # cubic again, and no longer at its own volume
    assert found.atoms.get_volume() ** (1 / 3) > 3.60
