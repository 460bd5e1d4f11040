"""Documents of MatPES: labels of their functional, and the stress in ASE's unit, order and sign."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa

from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.data.matpes import frame_of_document, is_document
from mfbench.mfcore.data.read import read_file, read_frames
from mfbench.mfcore.errors import DataError


def document(number: int = 0, functional: str = "PBE", **changed) -> dict:
    atoms = bulk("MgO", "rocksalt", a=4.2 + 0.01 * number)
    sites = [
        {"species": [{"element": s, "occu": 1}], "abc": p.tolist(), "properties": {"magmom": 0.0}, "label": s}
        for s, p in zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions(), strict=True)
    ]
    structure = {"@class": "Structure", "lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites}
    return {
        "structure": structure,
        "energy": -12.0 - number,
        "forces": [[0.1, 0.0, -0.2], [-0.1, 0.0, 0.2]],
        "stress": [10.0, 20.0, 30.0, 1.0, 2.0, 3.0],
        "matpes_id": f"matpes-{number}",
        "bandgap": 4.4,
        "cohesive_energy_per_atom": -5.0,
        "formation_energy_per_atom": None,
        "functional": functional,
        "provenance": {"original_mp_id": f"mp-{number // 2}"},
        **changed,
    }


@pytest.mark.parametrize("form", ["list", "mapping", "lines", "one"])
def test_every_form_gives_the_labels_of_the_functional(tmp_path: Path, form: str) -> None:
    documents = [document(i, "r2SCAN") for i in range(1 if form == "one" else 3)]
    path = tmp_path / ("m.jsonl.gz" if form == "lines" else "m.json.gz")
    content = {"list": documents, "mapping": {str(f"E{i}"): d for i, d in enumerate(documents)}, "one": documents[0]}
    text = "\n".join(map(json.dumps, documents)) if form == "lines" else json.dumps(content[form])
    path.write_bytes(gzip.compress(text.encode()))
    frames = read_frames(path, "r2scan")
    assert [a.info["structure_id"] for a in frames] == [d["matpes_id"] for d in documents]
    assert [a.info["group"] for a in frames] == [d["provenance"]["original_mp_id"] for d in documents]
    for atoms, given in zip(frames, documents, strict=True):
        assert energy_of(atoms, "r2scan") == given["energy"]
        np.testing.assert_allclose(forces_of(atoms, "r2scan"), given["forces"])
        assert atoms.get_chemical_formula() == "MgO"


def test_a_compressed_cell_has_negative_stress_in_the_order_of_voigt() -> None:
    """10 kbar of pressure are -1 GPa; the places after the diagonal are yz, xz and xy."""
    stress = stress_of(frame_of_document(document(), Path("m.json"), 0), "pbe") / GPa
    assert np.diag(stress) == pytest.approx([-1.0, -2.0, -3.0])
    assert [stress[1, 2], stress[0, 2], stress[0, 1]] == pytest.approx([-0.1, -0.2, -0.3])
    np.testing.assert_array_equal(stress, stress.T)


def test_energies_that_are_no_labels_are_said(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps([document(0), document(1)]))
    read = read_file(path, "pbe")
    assert read.frames[0].info["cohesive_energy_per_atom"] == -5.0
    assert "formation_energy_per_atom" not in read.frames[0].info


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"functional": "LDA"}, "key 'functional': found 'LDA'; expected PBE or r2SCAN"),
        ({"forces": [[0.0, 0.0, 0.0]]}, "key 'forces': no document of MatPES"),
        ({"stress": [1.0, 2.0]}, "key 'stress': no document of MatPES"),
        ({"energy": None}, "key 'energy': no document of MatPES"),
        ({"structure": {"sites": []}}, "no structure of pymatgen"),
    ],
)
def test_faults_name_file_frame_and_key(tmp_path: Path, changed: dict, words: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps([document(0), document(1, **changed)]))
    with pytest.raises(DataError) as caught:
        read_frames(path)
    assert "frame 1" in str(caught.value)
    assert words in str(caught.value)


def test_other_json_is_no_document() -> None:
    assert is_document(document())
    assert not is_document({"structure": {}})
    assert not is_document([])
