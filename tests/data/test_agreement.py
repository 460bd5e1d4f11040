"""Energies, forces and stresses of one potential belong together; a change in any of them is found and measured."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT

from mfbench.mfcore.data.agreement import RIGHT_FORM, STRESS_FORMS, agreement, work_agreement
from mfbench.mfcore.data.frames import energy_of, set_labels, stress_of
from mfbench.mfcore.data.inspect import inspect_frames


def crystals(
    *,
    pressure_gpa: float = 0.0,
    stressed: bool = True,
    strained: bool = True,
    size: float = 0.03,
    count: int = 24,
    seed: int = 0,
) -> list[Atoms]:
    """Cells of copper-gold, strained, rattled by `size` Å; `pressure_gpa` is what their stress has too much."""
    made = []
    for number in range(1000 * seed, 1000 * seed + count):
        generator = np.random.default_rng(number)
        atoms = bulk("Cu", cubic=True)
        atoms[0].symbol = "Au"
        strain = generator.normal(0, 0.01 * strained, (3, 3))
        atoms.set_cell(atoms.cell.array @ (1.03 * np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += generator.normal(0, size, (4, 3))
        atoms.wrap()  # neighbours lie across the border
        atoms.calc = EMT()
        stress = atoms.get_stress(voigt=False) + pressure_gpa * units.GPa * np.eye(3)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info = {"structure_id": f"s{number}", "group": f"s{number}"}
        set_labels(atoms, "emt", energy=energy, forces=forces, stress=stress if stressed else None)
        made.append(atoms)
    return made


def test_a_consistent_crystal():
    slope, pressure = work_agreement(crystals(), "emt")
    assert slope == pytest.approx(1.0, abs=0.05)
    assert pressure == pytest.approx(0.0, abs=0.4)
    assert not inspect_frames(crystals()).warnings


def test_a_pulay_stress_is_measured_and_named():
    _, right = work_agreement(crystals(), "emt")
    slope, pressure = work_agreement(crystals(pressure_gpa=40.0), "emt")
    assert slope == pytest.approx(1.0, abs=0.1)
    assert pressure - right == pytest.approx(-40.0, rel=0.1)
    (warning,) = inspect_frames(crystals(pressure_gpa=40.0)).warnings
    assert "emt: stresses are not the derivative of the energies" in warning


def test_gradients_of_a_crystal_are_told_from_forces():
    frames = []
    for number in range(24):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += np.random.default_rng(number).normal(0, 0.03, (4, 3))
        atoms.calc = EMT()
        energy, gradient = atoms.get_potential_energy(), -atoms.get_forces()
        atoms.calc = None
        set_labels(atoms, "emt", energy=energy, forces=gradient)
        frames.append(atoms)
    slope, pressure = work_agreement(frames, "emt")
    assert slope == pytest.approx(-1.0, abs=0.05)
    assert np.isnan(pressure)  # one cell: no stress is needed, and none can be told


def test_different_cells_without_stress_tell_nothing():
    assert np.isnan(work_agreement(crystals(stressed=False), "emt")).all()
    assert np.isnan(work_agreement(crystals()[:6], "emt")).all()


def turned_into(form: str, frames: list[Atoms]) -> list[Atoms]:
    """The same stresses as another code writes them."""
    for atoms in frames:
        stress, volume = stress_of(atoms, "emt"), atoms.get_volume()
        factor = STRESS_FORMS[form]
        times = 1 / factor if factor is not None else -volume if "virial" in form else volume
        set_labels(atoms, "emt", stress=times * stress)
    return frames


@pytest.mark.parametrize("form", STRESS_FORMS)
def test_the_form_of_a_stress_is_told_by_the_energies(form: str) -> None:
    frames = turned_into(form, crystals())
    assert agreement(frames, "emt").stress_form == form
    report = inspect_frames(frames)
    if form == RIGHT_FORM:
        assert not report.faults
        assert "usable" in report.verdict
    else:
        (fault,) = report.faults
        assert f"stresses are in {form}" in fault
        assert "not to be trained on" in report.verdict


def test_left_handed_cells_among_right_handed_ones_are_compared_among_themselves() -> None:
    frames = crystals()
    for atoms in frames[::2]:
        atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    assert agreement([*frames, *crystals()], "emt").slope == pytest.approx(1.0, abs=0.05)
    assert agreement([*frames, *crystals()], "emt").stress_form == RIGHT_FORM


def test_stresses_that_cannot_be_checked_are_told_by_their_size() -> None:
    frames = turned_into("kbar", crystals())[:6]
    report = inspect_frames(frames)
    assert any("not possible" in f for f in report.faults)
    right = inspect_frames(crystals()[:6])
    assert not right.faults
    assert any("could not be checked" in w and "stresses" in w for w in right.warnings)
    assert any("could not be checked" in w and "forces" in w for w in right.warnings)


@pytest.mark.parametrize("seed", range(4))
def test_a_few_frames_far_apart_are_no_fault(seed: int) -> None:
    frames = crystals(size=0.12, count=14, seed=seed, strained=False)
    found = agreement(frames, "emt")
    assert found.slope_error > 0.01
    assert not inspect_frames(frames).faults
    for atoms in frames:
        set_labels(atoms, "emt", energy=energy_of(atoms, "emt") / units.Hartree)
    (fault,) = inspect_frames(frames).faults
    assert "energies and forces disagree (slope 0.0" in fault
