"""Structures of pymatgen as frames and back: objects and JSON, their labels, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Molecule, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.data.read import read_frames, read_structures
from mfbench.mfcore.data.structures import as_frames, atoms_of, entry_of, structure_of
from mfbench.mfcore.errors import DataError

SALT = Structure(Lattice.cubic(4.2), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
ALLOY = Structure(Lattice.cubic(3.0), [{"Fe": 0.5, "Co": 0.5}, "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def entry(identity: str | None = "mp-1") -> ComputedStructureEntry:
    """An entry whose correction is no part of what was computed."""
    data = {"forces": [[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]], "stress": [0.01, 0.02, 0.03, 0.0, 0.0, 0.0], "bandgap": 5.0}
    return ComputedStructureEntry(SALT, -6.9, correction=-0.5, entry_id=identity, data=data)


@pytest.mark.parametrize("frame", [bulk("NaCl", "rocksalt", a=5.6), molecule("H2O"), bulk("Cu", cubic=True)])
def test_atoms_go_to_pymatgen_and_back(frame: Atoms) -> None:
    found = structure_of(frame)
    assert isinstance(found, Structure if frame.pbc.any() else Molecule)
    back = atoms_of(found)
    assert back.get_chemical_symbols() == frame.get_chemical_symbols()
    np.testing.assert_allclose(back.positions, frame.positions, atol=1e-12)
    np.testing.assert_allclose(back.cell.array, frame.cell.array, atol=1e-12)
    assert back.pbc.tolist() == frame.pbc.tolist()


def test_directions_that_are_not_periodic_stay_so() -> None:
    slab = bulk("Cu", cubic=True) * (1, 1, 3)
    slab.pbc = (True, True, False)
    assert atoms_of(structure_of(slab)).pbc.tolist() == [True, True, False]


def test_the_energy_of_an_entry_is_the_computed_one_without_its_correction() -> None:
    assert entry().energy == pytest.approx(-7.4)
    found = atoms_of(entry())
    assert found.info["energy"] == -6.9
    assert found.info["structure_id"] == "mp-1"
    assert atoms_of(entry_of(found, -3.0, "x", correction_ev=1.0)).info["energy"] == -3.0


def test_one_frame_and_mixed_ones_become_a_list() -> None:
    atoms = bulk("Cu")
    assert as_frames(atoms) == [atoms]
    assert as_frames(atoms)[0] is atoms
    assert [str(a.symbols) for a in as_frames([atoms, SALT, entry()])] == ["Cu", "NaCl", "NaCl"]
    assert str(as_frames(SALT)[0].symbols) == "NaCl"
    assert as_frames([]) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (ALLOY, "frame 0: a site is Fe0.5 Co0.5: the structure is disordered"),
        (Structure(Lattice.cubic(4), ["X", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]), r"X0\+, which is no element"),
        ([bulk("Cu"), 3], r"frame 1: found int; expected ase\.Atoms"),
        ("POSCAR", "found str; expected"),
        (7, "found int; expected"),
        ({"sites": []}, "found dict; expected"),
    ],
)
def test_what_is_no_structure_is_refused(given: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        as_frames(given)


FORMS = {
    "list": [entry("mp-0"), entry("mp-1")],
    "mapping": {"mp-0": entry(None), "mp-1": entry(None)},
    "records": [{"material_id": f"mp-{i}", **entry(None).as_dict()} for i in range(2)],
}


def as_json(value: object) -> str:
    return json.dumps(value, default=lambda item: item.as_dict())


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("form", [*FORMS, "lines", "columns"])
def test_json_in_every_form_gives_labels_and_ids(tmp_path: Path, form: str, pack) -> None:
    records = FORMS["records"]
    if form == "lines":
        text = "\n".join(map(as_json, records))
    elif form == "columns":
        keys = ("material_id", "structure", "energy", "data")
        text = as_json({key: {str(i): record[key] for i, record in enumerate(records)} for key in keys})
    else:
        text = as_json(FORMS[form])
    ending = {bytes: "", gzip.compress: ".gz", bz2.compress: ".bz2"}[pack]
    path = tmp_path / f"e.{'jsonl' if form == 'lines' else 'json'}{ending}"
    path.write_bytes(pack(text.encode()))
    frames = read_frames(path, "pbe")
    assert [a.info["structure_id"] for a in frames] == ["mp-0", "mp-1"]
    for atoms in frames:
        assert energy_of(atoms, "pbe") == -6.9
        np.testing.assert_allclose(forces_of(atoms, "pbe")[0], [0, 0, 0.1])
        np.testing.assert_allclose(np.diag(stress_of(atoms, "pbe")), [0.01, 0.02, 0.03])


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([SALT, ALLOY], "frame 1: a site is Fe0.5 Co0.5: the structure is disordered"),
        ([SALT.as_dict(), {"structure": {"@class": "Structure", "sites": []}}], "frame 1: no structure of pymatgen"),
        ([SALT.as_dict(), {"material_id": "a"}], "frame 1: it lacks a structure"),
        ([SALT.as_dict(), 3], "frame 1: expected a record"),
        ({"a": 1}, "frame 0: it lacks a structure"),
        ([], "the file has no frame"),
        ("text", "expected a record"),
    ],
)
def test_json_of_something_else_is_refused_in_one_sentence(tmp_path: Path, items: object, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(as_json(items))
    with pytest.raises(DataError, match=words) as caught:
        read_structures(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no JSON|no frame"):
        read_structures(path)
