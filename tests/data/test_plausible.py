"""Units by what is physically possible."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.inspect import inspect_frames
from mfbench.mfcore.data.inspection import InspectionReport
from mfbench.mfcore.data.plausible import all_electron_energy, bond_ratio, energy_unit, length_unit

#: Hartree-Fock and experimental total energies, Hartree.
KNOWN = {6: -37.8, 8: -75.07, 14: -289.4, 18: -527.5, 29: -1639.0, 36: -2752.1}
MATTER = [
    molecule("H2O"),
    molecule("C6H6"),
    bulk("Cu", cubic=True),
    bulk("Na", cubic=True),
    bulk("Si", cubic=True),
    bulk("W", cubic=True),
    bulk("NaCl", "rocksalt", a=5.64, cubic=True),
    bulk("GaN", "wurtzite", a=3.19, c=5.19) * (2, 1, 1),
    bulk("CsCl", "cesiumchloride", a=4.12) * (2, 2, 2),
]


@pytest.mark.parametrize("atoms", MATTER, ids=lambda a: a.get_chemical_formula())
@pytest.mark.parametrize(("unit", "factor"), [("", 1.0), ("Bohr", 1 / units.Bohr), ("nm", 0.1)])
def test_bonds_tell_the_unit_of_lengths(atoms: Atoms, unit: str, factor: float) -> None:
    other = atoms.copy()
    other.positions *= factor
    other.cell *= factor
    assert length_unit(bond_ratio([other])) == unit


@pytest.mark.parametrize("number", KNOWN)
def test_energies_of_atoms(number: int) -> None:
    assert all_electron_energy(np.array([number])) == pytest.approx(KNOWN[number] * units.Hartree, rel=0.01)


@pytest.mark.parametrize(
    ("unit", "size"),
    [("eV", 1.0), ("Hartree", units.Hartree), ("kcal/mol", units.kcal / units.mol), ("Rydberg", units.Ry)],
)
def test_all_electron_energies_tell_their_unit(unit: str, size: float) -> None:
    frames = []
    for name, hartree in (("H2O", -76.4), ("CH4", -40.5), ("CH3OH", -115.7), ("C6H6", -232.2)):
        atoms = molecule(name)
        atoms.info |= {"structure_id": name, "group": name}
        set_labels(atoms, "cc", energy=hartree * units.Hartree / size)
        frames.append(atoms)
    assert energy_unit(frames, "cc") == unit
    faults = inspect_frames(frames).faults
    assert faults == () if unit == "eV" else f"energies are in {unit}" in faults[0]
    for atoms in frames:
        set_labels(atoms, "cc", energy=-5.0 * len(atoms))  # of atomization, or of pseudopotentials
    assert energy_unit(frames, "cc") == ""


def test_a_file_wholly_in_atomic_units_is_told() -> None:
    frames = []
    for seed in range(20):
        atoms = molecule("CH4")
        atoms.rattle(0.05, seed=seed)
        atoms.positions /= units.Bohr
        atoms.info |= {"structure_id": str(seed), "group": str(seed)}
        set_labels(atoms, "x", energy=-40.5 + 0.01 * seed, forces=0.01 * np.ones((5, 3)))
        frames.append(atoms)
    report = inspect_frames(frames)
    assert isinstance(report, InspectionReport)
    assert any("positions are in Bohr" in f for f in report.faults)
    assert any("energies are in Hartree" in f for f in report.faults)
    assert "not to be trained on" in str(report)
    assert report.as_dict()["levels"][0]["slope"] is None


def test_frames_of_several_units_are_told_unless_one_fits_none() -> None:
    def frames(*sizes: float) -> list[Atoms]:
        made = []
        for size in sizes:
            atoms = Atoms("OH2", [(0, 0, 0), (0.96, 0, 0), (-0.24, 0.93, 0)])
            set_labels(atoms, "cc", energy=all_electron_energy(atoms.numbers) / size)
            made.append(atoms)
        return made

    assert energy_unit(frames(1.0, units.Hartree, 1.0), "cc") == "eV and Hartree"
    assert energy_unit(frames(1.0, 7.0, 1.0), "cc") == "eV"
