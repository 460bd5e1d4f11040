"""The cell's variables are those of ASE's filter, and forces their gradient."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from mfbench.mfcore.potentials.cell_filter import LogarithmicCell


def crystal() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    rng = np.random.default_rng(4)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.08, atoms.positions.shape)
    atoms.calc = EMT()
    return atoms


def moved(variables: np.ndarray, size: float) -> np.ndarray:
    return variables + np.random.default_rng(6).normal(0, size, variables.shape)


@pytest.mark.parametrize("constant_volume", [False, True])
def test_forces_and_geometry_are_those_of_ase(constant_volume: bool) -> None:
    ours = LogarithmicCell(crystal(), constant_volume=constant_volume)
    theirs = FrechetCellFilter(crystal(), constant_volume=constant_volume)
    for size in (0.0, 0.05, 0.3):
        step = moved(np.zeros((7, 3)), size)
        ours.set_positions(ours.get_positions() + step)
        theirs.set_positions(theirs.get_positions() + step)
        np.testing.assert_allclose(ours.atoms.positions, theirs.atoms.positions, atol=1e-12)
        np.testing.assert_allclose(ours.atoms.cell.array, theirs.atoms.cell.array, atol=1e-12)
        np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-10)
        np.testing.assert_allclose(ours.stress, theirs.stress, atol=1e-12)
        assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-12)


def test_forces_are_the_gradient_by_the_variables() -> None:
    found = LogarithmicCell(crystal())
    start = moved(found.get_positions(), 0.1)
    found.set_positions(start)
    forces = found.get_forces()
    step = 1e-5
    for place in np.ndindex(start.shape):
        ends = []
        for sign in (1, -1):
            there = start.copy()
            there[place] += sign * step
            found.set_positions(there)
            ends.append(found.atoms.get_potential_energy())
        assert forces[place] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=1e-6)


def test_fire_takes_the_same_way() -> None:
    ends = []
    for kind in (LogarithmicCell, FrechetCellFilter):
        atoms = crystal()
        optimizer = FIRE(kind(atoms), logfile=None)
        assert optimizer.run(fmax=0.01, steps=300)
        ends.append((optimizer.nsteps, atoms))
    assert ends[0][0] == ends[1][0]
    np.testing.assert_allclose(ends[0][1].positions, ends[1][1].positions, atol=1e-8)
    np.testing.assert_allclose(ends[0][1].cell.array, ends[1][1].cell.array, atol=1e-8)


def test_the_shape_changes_at_constant_volume() -> None:
    atoms = crystal()
    before = atoms.get_volume()
    assert FIRE(LogarithmicCell(atoms, constant_volume=True), logfile=None).run(fmax=0.01, steps=300)
    assert atoms.get_volume() == pytest.approx(before, rel=1e-10)
