"""One set of frames in every format that is read: the same labels come out."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write

from mfbench.mfcore.data.formats import raw_frames
from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import DataError


def labelled() -> list[Atoms]:
    made = []
    for i in range(3):
        atoms = bulk("NaCl", "rocksalt", a=5.5 + 0.1 * i)
        atoms.rattle(0.05, seed=i)
        rng = np.random.default_rng(i)
        voigt = rng.normal(size=6) * 0.01
        atoms.calc = SinglePointCalculator(atoms, energy=-3.0 - i, forces=rng.normal(size=(2, 3)), stress=voigt)
        made.append(atoms)
    return made


def saved(folder: Path, kind: str) -> Path:
    path = folder / f"frames.{kind}"
    made = labelled()
    if kind in ("xyz.gz", "bom.xyz", "extxyz", "D.xyz"):
        write(folder / "plain.xyz", made, format="extxyz")
        text = (folder / "plain.xyz").read_text()
        if kind == "xyz.gz":
            path.write_bytes(gzip.compress(text.encode()))
        elif kind == "bom.xyz":
            path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        elif kind == "D.xyz":
            lines = text.split("\n")
            for n, line in enumerate(lines):
                if line[:2] in ("Na", "Cl"):
                    lines[n] = " ".join(
                        [line.split()[0], *(f"{float(v):.12E}".replace("E", "D") for v in line.split()[1:])]
                    )
            path.write_text("\n".join(lines).replace("energy=-3.0", "energy=-0.3D+01"))
        else:
            path.write_text(text)
    elif kind == "db":
        with connect(path) as db:
            for atoms in made:
                db.write(atoms, note="hello")
    else:
        write(path, made)
    return path


@pytest.mark.parametrize("kind", ["extxyz", "xyz.gz", "bom.xyz", "D.xyz", "traj", "db", "json"])
def test_every_format_gives_the_same_labels(tmp_path: Path, kind: str) -> None:
    read = read_frames(saved(tmp_path, kind), "pbe")
    assert len(read) == 3
    for atoms, made in zip(read, labelled(), strict=True):
        assert atoms.calc is None
        assert energy_of(atoms, "pbe") == pytest.approx(made.calc.results["energy"], abs=1e-8)
        np.testing.assert_allclose(forces_of(atoms, "pbe"), made.calc.results["forces"], atol=1e-8)
        np.testing.assert_allclose(stress_of(atoms, "pbe"), made.get_stress(voigt=False), atol=1e-8)
        np.testing.assert_allclose(atoms.positions, made.positions, atol=1e-8)
        np.testing.assert_allclose(atoms.cell.array, made.cell.array, atol=1e-8)


def test_forces_of_fixed_atoms_are_read_as_they_were_calculated(tmp_path: Path) -> None:
    (atoms, *_) = labelled()
    forces = atoms.get_forces()
    atoms.set_constraint(FixAtoms([0]))
    write(tmp_path / "a.traj", atoms)
    (read,) = read_frames(tmp_path / "a.traj", "pbe")
    np.testing.assert_allclose(forces_of(read, "pbe"), forces)


def test_structures_of_pymatgen(tmp_path: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.ase import AseAtomsAdaptor

    bare = [Atoms(a.numbers, positions=a.positions, cell=a.cell, pbc=True) for a in labelled()]
    structures = [AseAtomsAdaptor.get_structure(a) for a in bare]
    structures[0].add_site_property("forces", labelled()[0].get_forces().tolist())
    entries = [ComputedStructureEntry(s, -3.0 - i, entry_id=f"mp-{i}") for i, s in enumerate(structures)]
    (tmp_path / "a.json").write_text(json.dumps([e.as_dict() for e in entries]))
    read = read_frames(tmp_path / "a.json", "pbe")
    assert [energy_of(a, "pbe") for a in read] == [-3.0, -4.0, -5.0]
    assert [a.info["structure_id"] for a in read] == ["mp-0", "mp-1", "mp-2"]
    np.testing.assert_allclose(forces_of(read[0], "pbe"), labelled()[0].get_forces())
    np.testing.assert_allclose(read[1].get_all_distances(mic=True), bare[1].get_all_distances(mic=True), atol=1e-8)
    (tmp_path / "one.json").write_text(json.dumps(structures[2].as_dict()))
    assert len(raw_frames(tmp_path / "one.json")) == 1


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json", "a.xyz.gz"])
def test_damaged_files_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b" + bytes(range(200)) if name.endswith("gz") else b"nonsense" * 9)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_frames(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_frames(tmp_path / f"absent-{name}")
    whole = gzip.compress(b"1\n\nH 0 0 0\n" * 50)
    (tmp_path / "cut.xyz.gz").write_bytes(whole[:-20])
    with pytest.raises(DataError, match="damaged"):
        read_frames(tmp_path / "cut.xyz.gz")


def test_heavy_hydrogen_is_hydrogen_of_another_mass(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("3\nenergy=-1.0\nO 0 0 0\nD 0.96 0 0\nH -0.24 0.93 0\n")
    (atoms,) = read_frames(tmp_path / "a.xyz")
    assert atoms.get_chemical_symbols() == ["O", "H", "H"]
    assert atoms.get_masses()[1] == pytest.approx(2.014, abs=1e-3)
    assert atoms.get_masses()[2] == pytest.approx(1.008, abs=1e-3)


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frames.xyz")
    with pytest.raises(DataError, match=r"frames\.xyz: it is a pipe or a device; expected a file"):
        raw_frames(tmp_path / "frames.xyz")
