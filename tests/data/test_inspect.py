"""Inspection: what a file has is counted right, and planted faults are told."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from mfbench.mfcore.data.agreement import energy_force_slope
from mfbench.mfcore.data.frames import energy_of, forces_of, set_labels
from mfbench.mfcore.data.inspect import composition_residual, inspect_frames

FORCE_CONSTANT = 20.0  # eV/Å²


def spring(atoms: Atoms, scale: float = 1.0) -> tuple[float, np.ndarray]:
    """Energy and forces of springs between all atoms of a CH4: an exact potential to test with."""
    d = atoms.get_all_distances()
    reference = molecule("CH4").get_all_distances()
    i, j = np.triu_indices(len(atoms), 1)
    energy = 0.5 * scale * FORCE_CONSTANT * float(((d - reference)[i, j] ** 2).sum())
    forces = np.zeros((len(atoms), 3))
    for a, b in zip(i, j, strict=True):
        v = (atoms.positions[a] - atoms.positions[b]) / d[a, b]
        pull = -scale * FORCE_CONSTANT * (d[a, b] - reference[a, b]) * v
        forces[a] += pull
        forces[b] -= pull
    return energy, forces


@pytest.fixture
def frames() -> list[Atoms]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(60):
        atoms = molecule("CH4")
        atoms.positions += rng.normal(scale=0.05, size=(5, 3))
        atoms.rotate(rng.uniform(0, 360), rng.normal(size=3))
        atoms.info = {"structure_id": f"ch4-{i}", "group": f"run-{i // 20}"}
        energy, forces = spring(atoms)
        set_labels(atoms, "low", energy=energy - 100.0, forces=forces)
        if i % 2 == 0:
            set_labels(atoms, "high", energy=spring(atoms, 1.1)[0] - 130.0)
        made.append(atoms)
    return made


def level(report, name):
    return next(r for r in report.levels if r.fidelity == name)


def test_counts(frames):
    report = inspect_frames(frames)
    assert (report.n_frames, report.n_atoms, report.n_periodic, report.n_groups) == (60, (5, 5), 0, 3)
    assert report.largest_group == 20
    assert report.elements == {"H": 240, "C": 60}
    low, high = level(report, "low"), level(report, "high")
    assert (low.n_energy, low.n_forces, low.n_stress) == (60, 60, 0)
    assert (high.n_energy, high.n_forces) == (30, 0)
    assert low.slope == pytest.approx(1.0, abs=0.1)
    assert np.isnan(high.slope)
    (overlap,) = report.overlaps
    assert (overlap.first, overlap.second, overlap.n_energy, overlap.n_forces) == ("low", "high", 30, 0)
    assert report.warnings == ()
    assert "60 energies, 60 forces" in str(report)


def test_force_rms_is_that_of_the_components(frames):
    components = np.concatenate([forces_of(a, "low").ravel() for a in frames])
    assert level(inspect_frames(frames), "low").force_rms == pytest.approx(np.sqrt(np.mean(components**2)))


def test_overlap_difference_is_free_of_the_composition_part(frames):
    (overlap,) = inspect_frames(frames).overlaps
    both = frames[::2]
    difference = np.array([energy_of(a, "high") - energy_of(a, "low") for a in both]) / 5
    assert overlap.energy_rms == pytest.approx(difference.std())


@pytest.mark.parametrize(
    ("energy_unit", "force_unit", "text"),
    [
        (1.0, -1.0, "opposite sign"),
        (units.Hartree, 1.0, "energies in Hartree, forces in eV/Å"),
        (1.0, units.Hartree / units.Bohr, "energies in eV, forces in Hartree/Bohr"),
        (units.Hartree, units.Hartree / units.Bohr, "energies in Hartree, forces in Hartree/Bohr"),
        (1.0, 0.1, "eV/nm"),
        (units.kcal / units.mol, 1.0, "energies in kcal/mol"),
    ],
)
def test_wrong_units_are_told(frames, energy_unit, force_unit, text):
    for atoms in frames:
        set_labels(
            atoms, "low", energy=energy_of(atoms, "low") / energy_unit, forces=forces_of(atoms, "low") / force_unit
        )
    report = inspect_frames(frames)
    assert any(text in f for f in report.faults), report.faults


def test_outliers_and_large_forces_are_named(frames):
    set_labels(frames[7], "low", energy=energy_of(frames[7], "low") + 50.0)
    forces = forces_of(frames[9], "low").copy()
    forces[0, 0] = 500.0
    set_labels(frames[9], "low", forces=forces)
    outliers = {(o.structure_id, o.what.split()[0]) for o in level(inspect_frames(frames), "low").outliers}
    assert outliers == {("ch4-7", "energy,"), ("ch4-9", "largest")}


def test_duplicates_across_groups_are_a_warning(frames):
    copy = frames[0].copy()
    copy.info |= {"structure_id": "again", "group": "other"}
    report = inspect_frames([*frames, copy])
    assert [(d.first, d.second) for d in report.duplicates] == [(0, 60)]
    assert any("different groups" in w for w in report.warnings)


def test_frames_without_labels():
    atoms = molecule("H2O")
    atoms.info |= {"structure_id": "a", "group": "a"}
    report = inspect_frames([atoms])
    assert report.levels == ()
    assert "no labels" in report.warnings[0]
    assert "no labels" in str(report)


def test_composition_residual_removes_any_linear_part():
    frames = [molecule(name) for name in ("H2O", "CH4", "CO2", "CH3OH", "H2CO", "C2H6")]
    values = np.array([sum({1: -13.6, 6: -1030.0, 8: -2040.0}[z] for z in a.numbers) for a in frames])
    np.testing.assert_allclose(composition_residual(frames, values), 0.0, atol=1e-9)


def test_slope_needs_neighbours(frames):
    assert np.isnan(energy_force_slope(frames[:5], "low"))


def test_isolated_atoms_are_no_outliers_and_no_spread(frames):
    alone = [Atoms("H"), Atoms("C")]
    for atoms, energy in zip(alone, (-13.6, -38.0), strict=True):
        atoms.info = {"structure_id": str(atoms.symbols), "group": str(atoms.symbols)}
        set_labels(atoms, "low", energy=energy)
    without, report = level(inspect_frames(frames), "low"), level(inspect_frames([*alone, *frames]), "low")
    assert report.outliers == ()
    assert report.residual_sd == pytest.approx(without.residual_sd)
    assert report.n_energy == 62
    set_labels(frames[7], "low", energy=energy_of(frames[7], "low") + 50.0)
    (outlier,) = level(inspect_frames([*alone, *frames]), "low").outliers
    assert (outlier.frame, outlier.structure_id) == (9, "ch4-7")


def test_copies_that_are_groups_by_themselves_are_no_warning(frames):
    copies = [frames[0].copy() for _ in range(2)]
    for number, atoms in enumerate(copies):
        atoms.info |= {"structure_id": f"c{number}", "group": f"c{number}"}
    report = inspect_frames([*frames[20:40], *copies])
    assert len(report.duplicates) == 1
    assert not any("different groups" in w for w in report.warnings)
    assert any("stay in one group" in n for n in report.notes)
