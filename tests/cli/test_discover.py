"""`mfbench discover` with an analytic potential: energies, resumption, materials left out, and the files written."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.optimize import FIRE

import mfbench
from mfbench.benchmarks.discovery.entries import ENDINGS
from mfbench.benchmarks.discovery.files import read_corrections, read_predictions
from mfbench.benchmarks.discovery.materials import read_materials
from mfbench.benchmarks.discovery.references import read_references
from mfbench.benchmarks.discovery.relaxations import Part, Relaxed, problems, read_relaxed
from mfbench.benchmarks.discovery.remote import FILES, fetch_file
from mfbench.benchmarks.discovery.submission import LEFT_TO_YOU, model_key, prediction_column
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.stored import HEADER

ALLOYS = {"wbm-1-1": "Cu3Au", "wbm-1-2": "CuAl3", "wbm-2-1": "NiAl3"}


def alloy(formula: str, strain: float = 1.02) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.set_chemical_symbols(Atoms(formula).get_chemical_symbols())
    atoms.set_cell(atoms.cell * [strain, 1.0, 1.01], scale_atoms=True)
    return atoms


def as_dict(atoms: Atoms) -> dict:
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms).as_dict()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """EMT in place of a stored potential; it knows Cu, Al, Au and Ni."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / HEADER).write_text("{}")
    fake = SimpleNamespace(
        arm="plain",
        fidelities=("pbe",),
        species=(13, 28, 29, 79),
        requires_low_labels=(),
        cores=[SimpleNamespace(cutoff=5.0, parameters=lambda: [SimpleNamespace(numel=lambda: 7)])],
        calculator=lambda fidelity: EMT(),
    )
    monkeypatch.setattr(mfbench, "load", lambda path: fake)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Structures, the last of an element that the potential does not know, and elements."""
    records = [{"material_id": name, "structure": as_dict(alloy(formula))} for name, formula in ALLOYS.items()]
    unknown = bulk("NaCl", "rocksalt", a=5.6)
    records.append({"material_id": "wbm-9-9", "structure": as_dict(unknown)})
    structures, elements = tmp_path / "init.json.gz", tmp_path / "elements.json"
    structures.write_bytes(gzip.compress(json.dumps(records).encode()))
    found = {e: {"structure": as_dict(bulk(e))} for e in ("Cu", "Al", "Au", "Ni")} | {
        "Na": {"structure": as_dict(bulk("Na"))}
    }
    elements.write_text(json.dumps(found))
    return structures, elements


def relaxed_ev_per_atom(atoms: Atoms) -> float:
    moving = atoms.copy()
    moving.calc = EMT()
    FIRE(FrechetCellFilter(moving), logfile=None).run(fmax=0.05, steps=500)
    return moving.get_potential_energy() / len(moving)


def discover(call, model, files, out, *more):
    return call("discover", model, "--structures", files[0], "--references", files[1], "--out", out, *more)


def test_energies_of_formation_are_those_of_ase(call, model, files, tmp_path):
    result = discover(call, model, files, tmp_path / "out", "--name", "My EMT")
    assert result.exit_code == 0, result.stderr
    assert "4 materials: 3 with an energy; 1 × not covered." in result.stdout
    assert "3 of 4 materials have an energy of formation" in result.stdout
    predicted = read_predictions(tmp_path / "out" / "my-emt-wbm-IS2RE-FIRE.csv.gz")
    assert predicted.name == "e_form_per_atom_my_emt"
    assert list(predicted.index) == [*ALLOYS, "wbm-9-9"]
    assert np.isnan(predicted["wbm-9-9"])
    elements = {e: relaxed_ev_per_atom(bulk(e)) for e in ("Cu", "Al", "Au", "Ni")}
    for name, formula in ALLOYS.items():
        symbols = Atoms(formula).get_chemical_symbols()
        expected = relaxed_ev_per_atom(alloy(formula)) - np.mean([elements[s] for s in symbols])
        assert predicted[name] == pytest.approx(expected, abs=2e-6)


def test_a_run_that_is_cut_off_goes_on_to_the_same_files(call, model, files, tmp_path, monkeypatch):
    assert discover(call, model, files, tmp_path / "whole").exit_code == 0
    real, calls = EMT.calculate, []

    def cut(self, *arguments, **words):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return real(self, *arguments, **words)

    monkeypatch.setattr(EMT, "calculate", cut)
    stopped = discover(call, model, files, tmp_path / "cut")
    assert stopped.exit_code == 130
    assert "the same command goes on from there" in stopped.stderr
    (lines,) = (tmp_path / "cut").glob("relaxed-*.jsonl")
    assert 0 < len(read_relaxed(tmp_path / "cut")) < 4
    with lines.open("a") as stream:
        stream.write('{"material_id": "wbm-2')  # the line that was being written
    first = lines.read_text().splitlines()[0]
    assert discover(call, model, files, tmp_path / "cut").exit_code == 0
    assert lines.read_text().splitlines()[0] == first
    for path in (tmp_path / "whole").glob("mfbench*"):
        assert (tmp_path / "cut" / path.name).read_bytes() == path.read_bytes()


def test_entries_make_the_phase_diagram_that_predictions_are_of(call, model, files, tmp_path):
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.entries import computed_entries

    out, path = tmp_path / "out", tmp_path / "entries.json.gz"
    assert discover(call, model, files, out, "--entries", path).exit_code == 0
    predicted = read_predictions(out / "mfbench-wbm-IS2RE-FIRE.csv.gz")
    items = json.loads(gzip.decompress(path.read_bytes()))
    assert all(
        hasattr(import_module(item["@module"]), item["@class"]) for item in items
    )  # so monty's loadfn finds them
    entries = [getattr(computed_entries, item["@class"]).from_dict(item) for item in items]
    diagram = PhaseDiagram([e for e in entries if "Na" not in e.composition])
    own = {entry.entry_id: entry for entry in entries if entry.entry_id in ALLOYS}
    assert list(own) == list(ALLOYS)
    for name, entry in own.items():
        assert entry.structure.composition.reduced_formula == entry.composition.reduced_formula
        assert diagram.get_form_energy_per_atom(entry) == pytest.approx(predicted[name], abs=2e-6)
    wrong = discover(call, model, files, out, "--entries", tmp_path / "e.csv")
    assert wrong.exit_code == 2
    assert f"expected a name that ends with {' or '.join(ENDINGS)}" in wrong.stderr


def test_parts_are_put_together(call, model, files, tmp_path):
    out = tmp_path / "out"
    half = discover(call, model, files, out, "--part", "2/2")
    assert "2 of 4 materials are left" in half.stdout
    assert not list(out.glob("*.csv.gz"))
    assert discover(call, model, files, out, "--part", "1/2", "--limit", "1").exit_code == 0
    assert len(read_relaxed(out)) == 3
    assert discover(call, model, files, out, "--part", "1/2").exit_code == 0
    assert discover(call, model, files, tmp_path / "whole").exit_code == 0
    name = "mfbench-wbm-IS2RE-FIRE.csv.gz"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_settings_are_not_mixed_in(call, model, files, tmp_path):
    out = tmp_path / "out"
    assert discover(call, model, files, out, "--limit", 1).exit_code == 0
    other = discover(call, model, files, out, "--fmax", 0.01)
    assert other.exit_code == 2
    assert "relaxed with another fmax (0.05)" in other.stderr


def test_steps_that_are_not_enough_count_and_are_counted(call, model, files, tmp_path):
    result = discover(call, model, files, tmp_path / "out", "--max-steps", 2)
    assert "3 with an energy; 3 × not converged, 1 × not covered." in result.stdout


def test_corrections_are_added_and_missing_ones_are_no_prediction(call, model, files, tmp_path):
    table = tmp_path / "summary.csv"
    shifts = {"wbm-1-1": -0.1, "wbm-1-2": 0.0}
    pd.Series(shifts, name="e_correction_per_atom_mp2020").rename_axis("material_id").to_csv(table)
    assert read_corrections(table) == shifts
    plain, shifted = (
        read_predictions(tmp_path / name / "mfbench-wbm-IS2RE-FIRE.csv.gz")
        for name, more in (("plain", ()), ("shifted", ("--corrections", table)))
        if discover(call, model, files, tmp_path / name, *more).exit_code == 0
    )
    assert shifted["wbm-1-1"] == pytest.approx(plain["wbm-1-1"] - 0.1, abs=2e-6)
    assert shifted["wbm-1-2"] == plain["wbm-1-2"]
    assert np.isnan(shifted["wbm-2-1"])


def test_the_result_is_scored(call, model, files, tmp_path):
    assert discover(call, model, files, tmp_path / "out").exit_code == 0
    predictions = tmp_path / "out" / "mfbench-wbm-IS2RE-FIRE.csv.gz"
    energies = read_predictions(predictions).dropna()
    summary = pd.DataFrame(
        {
            "e_above_hull_mp2020_corrected_ppd_mp": [-0.02, 0.08, 0.03],
            "e_form_per_atom_mp2020_corrected": energies.to_numpy() + np.array([0.01, -0.03, 0.0]),
            "unique_prototype": True,
        },
        index=energies.index,
    )
    summary.to_csv(tmp_path / "wbm.csv")
    result = call("score-discovery", predictions, "--wbm", tmp_path / "wbm.csv", "--intersect", "--subset", "full")
    assert result.exit_code == 0, result.stderr
    assert "| full | 3 | 1 | 0 | 1.000 |" in result.stdout


READERS = """
import sys, warnings
warnings.simplefilter("ignore")
import pandas as pd, yaml
from matbench_discovery.data import glob_to_df
from matbench_discovery.energy import get_e_form_per_atom
from matbench_discovery.enums import ModelType, Open, Task
table = glob_to_df(sys.argv[1], pbar=False).set_index("material_id")
entry = yaml.full_load(open(sys.argv[2]))
ModelType(entry["model_type"]), Open(entry["openness"]), Task(entry["test_task"])
column = entry["metrics"]["discovery"]["pred_col"]
energies = table[column].dropna()
print(len(energies))
for name, formula in zip(table.index, table["formula"]):
    if name in energies.index:
        total = table.loc[name, column.removeprefix("e_form_per_atom_") + "_energy"]
        value = get_e_form_per_atom({"energy": total, "composition": formula})
        assert abs(value - energies[name]) < 2e-4, (name, value, energies[name])
"""


def test_its_own_readers_take_the_files(call, model, files, tmp_path):
    """Its package reads the predictions, knows the entry's words, and has the same energies of formation."""
    if find_spec("matbench_discovery") is None:
        pytest.skip("matbench-discovery is not installed")
    entries = {
        e: {
            "@module": "pymatgen.entries.computed_entries",
            "@class": "ComputedEntry",
            "energy": 2 * mu,
            "composition": {e: 2.0},
            "correction": 0.0,
            "entry_id": e,
            "parameters": {},
            "data": {},
            "energy_adjustments": [],
        }
        for e, mu in {"Cu": 0.1, "Al": -0.25, "Au": 0.4, "Ni": 0.0}.items()
    }
    cache = tmp_path / "cache"
    (cache / "wbm").mkdir(parents=True)
    (cache / "mp").mkdir()
    elements = cache / "mp" / "2023-02-07-mp-elemental-reference-entries.json.gz"
    elements.write_bytes(gzip.compress(json.dumps(entries).encode()))
    (cache / "wbm" / "2023-12-13-wbm-summary.csv.gz").write_bytes(gzip.compress(b"material_id\nwbm-1-1\n"))
    out = tmp_path / "out"
    assert discover(call, model, (files[0], elements), out).exit_code == 0
    words = [out / "mfbench-wbm-IS2RE-FIRE.csv.gz", out / "mfbench.yml"]
    environment = os.environ | {"MATBENCH_DISCOVERY_CACHE_DIR": str(cache)}
    found = subprocess.run(
        [sys.executable, "-c", READERS, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.split()[-1] == "3"


def test_the_entry_has_every_key_of_the_schema_but_those_of_the_authors(call, model, files, tmp_path):
    required = (
        "authors checkpoint_url date_added date_published doi license model_name model_params model_type model_version "
        "n_estimators openness paper pr_url repo requirements targets test_task train_task trained_for_benchmark "
        "training_cost training_set"
    )
    assert discover(call, model, files, tmp_path / "out").exit_code == 0
    text = (tmp_path / "out" / "mfbench.yml").read_text()
    entry = yaml.safe_load(text)
    assert set(required.split()) - set(entry) == set(LEFT_TO_YOU)
    assert all(key in text.splitlines()[0] for key in LEFT_TO_YOU)
    assert entry["model_params"] == 7
    assert entry["hyperparams"]["graph_construction_radius"] == 5.0


def test_structures_in_all_forms_are_the_same(tmp_path):
    atoms = {name: alloy(formula) for name, formula in ALLOYS.items()}
    lines = [{"material_id": n, "formula_from_cse": "x", "initial_structure": as_dict(a)} for n, a in atoms.items()]
    columns = {key: {str(i): line[key] for i, line in enumerate(lines)} for key in lines[0]}
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    (tmp_path / "b.json.bz2").write_bytes(bz2.compress(json.dumps(columns).encode()))
    with zipfile.ZipFile(tmp_path / "c.extxyz.zip", "w") as archive:
        for name, each in atoms.items():
            each = each.copy()
            each.info["material_id"] = name
            text = io.StringIO()
            write(text, each, format="extxyz")
            archive.writestr(f"{name}.extxyz", text.getvalue())
    for path in sorted(tmp_path.iterdir()):
        found = read_materials(path)
        assert [m.id for m in found] == list(ALLOYS)
        for material in found:
            expected = atoms[material.id]
            assert material.atoms.get_chemical_symbols() == expected.get_chemical_symbols()
            np.testing.assert_allclose(material.atoms.cell.array, expected.cell.array, atol=1e-7)
            np.testing.assert_allclose(material.atoms.positions, expected.positions, atol=1e-7)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("nonsense", "no JSON"),
        ('[{"structure": {}}]', "no structure of pymatgen"),
        ('[{"material_id": "a"}]', "lacks a structure"),
        ('[{"material_id": "a", "structure": {"@class": "Structure"}}]', "no structure of pymatgen"),
        ("[3]", "expected a record"),
        ("[]", "the file has no frame|it has no structure"),
    ],
)
def test_structures_that_are_none_are_refused(tmp_path, content, words):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_materials(path)
    path.write_text(json.dumps([{"structure": as_dict(alloy("Cu3Au"))}]))
    with pytest.raises(DataError, match="lacks an id"):
        read_materials(path)
    twice = [{"material_id": "a", "structure": as_dict(alloy("Cu3Au"))}] * 2
    path.write_text(json.dumps(twice))
    with pytest.raises(DataError, match="'a' comes twice"):
        read_materials(path)
    with pytest.raises(DataError, match="no such file"):
        read_materials(tmp_path / "none.json")


def test_elements_are_energies_or_structures(tmp_path):
    entries = tmp_path / "e.json"
    entries.write_text(json.dumps({"Cu": {"composition": {"Cu": 4}, "energy": -16.0, "correction": 2.0}}))
    assert read_references(entries).energies_ev_per_atom == {"Cu": -3.5}
    write(tmp_path / "e.xyz", [bulk("Cu"), bulk("Al"), bulk("Cu", "bcc", a=2.9), alloy("Cu3Au")], format="extxyz")
    found = read_references(tmp_path / "e.xyz").structures
    assert {element: len(frames) for element, frames in found.items()} == {"Cu": 2, "Al": 1}
    entries.write_text(json.dumps({"Au": {"structure": as_dict(bulk("Cu"))}}))
    with pytest.raises(DataError, match="'Au' is of other elements"):
        read_references(entries)
    entries.write_text(json.dumps({"Au": {"energy": 1.0}}))
    with pytest.raises(DataError, match="no entry of an element"):
        read_references(entries)


def test_reasons_are_counted_without_their_numbers():
    reasons = [
        "not covered: Na",
        "not covered: K",
        "the volume is 0.09 times that of the start",
        "not converged in 5 steps",
    ]
    lines = [Relaxed("a", "Cu", 1, None, 0, reason, [], []) for reason in ["", *reasons]]
    assert problems(lines) == {"not covered": 2, "the volume has run away": 1, "not converged": 1}


def test_parts_and_names_are_checked():
    assert Part.parse("2/8") == Part(2, 8)
    for wrong in ("0/2", "3/2", "2", "a/b"):
        with pytest.raises(ConfigError, match="expected K/N"):
            Part.parse(wrong)
    assert model_key("SevenNet 0 (PBE)") == "sevennet-0-pbe"
    assert prediction_column("sevennet-0-pbe") == "e_form_per_atom_sevennet_0_pbe"
    with pytest.raises(ConfigError, match="letters or digits"):
        model_key("..")


def test_wbm_files_are_checked_by_their_published_sums(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MFBENCH_DATA", str(tmp_path))
    for file in FILES:
        (tmp_path / file.name).write_bytes(b"other")
    with pytest.raises(DataError, match=f"md5 is {hashlib.md5(b'other').hexdigest()}, expected {FILES[0].md5}"):
        fetch_file(FILES[0])
    assert call("data", "fetch", "wbm").exit_code == 2
    assert len({file.md5 for file in FILES}) == 3
