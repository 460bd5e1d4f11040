"""Frames of main_group: real structures of 105 systems, strained and rattled within bounds, whatever else there is."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mfbench.benchmarks.labelling.gpaw.labels import read_labels
from mfbench.benchmarks.labelling.main_group import convergence, extract, sample
from mfbench.benchmarks.labelling.main_group.generate import CRYSTAL
from mfbench.benchmarks.labelling.main_group.structures import ELEMENTS, k_points, n_phases, structures, system_of
from mfbench.mfcore.errors import DataError
from tests.labelling.gpaw.test_labels import stand_in

__all__ = ["stand_in"]


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return sample.round_one()


def test_structures_are_elements_and_binaries_of_them():
    found = structures()
    elements = [a for a in found if len(set(a.numbers)) == 1]
    assert {a.info["structure_id"] for a in elements} == {f"{element}-element" for element in ELEMENTS}
    assert len(found) - len(elements) == 250
    assert len(n_phases()) == 105
    assert n_phases()["Li-Mg"] == 12
    for atoms in found:
        assert np.all(np.abs(atoms.cell.angles() - 90.0) <= 30.001)  # Niggli's
        assert len(set(atoms.numbers)) <= 2
        assert sample.shortest(atoms) > 0.7
    for atoms in found[len(ELEMENTS) :]:
        assert str(atoms.info["structure_id"]).startswith("mp-")
        assert len(atoms) <= 10
        assert 0.0 < atoms.info["bulk_modulus_vrh_mp_gpa"] < 500.0
    order = [n_phases()[system_of(a)] for a in found[len(ELEMENTS) :]]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    ("made", "bond", "neighbours"),
    [(extract.black_phosphorus, 2.23, 3), (extract.rhombohedral_sulphur, 2.06, 2), (extract.grey_selenium, 2.37, 2)],
)
def test_small_forms_of_elements_have_their_bonds(made, bond, neighbours):
    from ase.neighborlist import neighbor_list

    atoms = made()
    i, d = neighbor_list("id", atoms, bond + 0.1)
    assert set(Counter(i.tolist()).values()) == {neighbours}
    assert d == pytest.approx(np.full(len(d), bond), abs=0.03)


def test_frames_are_named_once_and_each_kind_is_what_it_says(frames):
    assert len({a.info["structure_id"] for a in frames}) == len(frames)
    by_name = {a.info["structure_id"]: a for a in structures()}
    levels = Counter((a.info["kind"], a.info["levels"]) for a in frames)
    assert sum(levels.values()) >= 700
    assert sum(n for (_, level), n in levels.items() if "r2scan" in level) >= 250
    assert levels["equilibrium", "pbe+r2scan"] == len(by_name)
    for atoms in frames:
        origin = by_name[atoms.info["group"]]
        ratio = atoms.get_volume() / len(atoms) / (origin.get_volume() / len(origin))
        kind = atoms.info["kind"]
        assert {"equilibrium": 0.9999, "strained": 0.93, "rattled": 0.94}[kind] < ratio
        assert ratio < {"equilibrium": 1.0001, "strained": 1.07, "rattled": 1.1}[kind]
        if kind == "rattled":
            assert len(atoms) >= sample.FEWEST_ATOMS
            assert sample.shortest(atoms) > sample.CLOSEST * sample.shortest(origin)
        else:
            assert atoms.get_chemical_formula() == origin.get_chemical_formula()
        if "r2scan" in atoms.info["levels"]:
            assert kind == "equilibrium" or sample.covered(atoms)


def test_half_of_the_systems_are_in_coverage_and_every_element(frames):
    systems = {a.info["system"]: sample.covered(a) for a in frames}
    assert all(systems[element] for element in ELEMENTS)
    compounds = [inside for system, inside in systems.items() if "-" in system]
    assert 0.4 < np.mean(compounds) < 0.6
    many = [systems[system] for system, n in n_phases().items() if n >= sample.MANY_PHASES]
    assert {True, False} == set(many)


def test_strains_of_a_cell_have_its_grid_and_larger_cells_a_smaller_one(frames):
    grids: dict[str, set[tuple[int, ...]]] = {}
    for atoms in frames:
        if atoms.info["kind"] != "rattled":
            grids.setdefault(atoms.info["group"], set()).add(tuple(atoms.info["k_points"]))
    assert {len(each) for each in grids.values()} == {1}
    (magnesia,) = grids["mp-1265"]
    rattled = next(a for a in frames if a.info["structure_id"] == "mp-1265-rattled-0")
    assert len(rattled) == 4
    assert np.prod(rattled.info["k_points"]) * 2 >= np.prod(magnesia)
    cubic = bulk("Cu", cubic=True)  # a = 3.61 Å: |b| = 1.74 per Å
    assert k_points(cubic, 3.0) == [6, 6, 6]


def test_metallic_elements_have_more_k_points(frames):
    by_name = {a.info["structure_id"]: a for a in frames}
    for name, density in (("Al-element", 5.0), ("mp-865939", 3.0), ("mp-1265", 3.0), ("N-element", 3.0)):
        atoms = by_name[f"{name}-equilibrium-0"]
        assert list(atoms.info["k_points"]) == k_points(atoms, density)


def test_cells_without_symmetry_are_no_larger_than_they_may_be(frames):
    for atoms in frames:
        if atoms.info["kind"] == "rattled" or "shear" in atoms.info["structure_id"]:
            assert np.prod(atoms.info["k_points"]) * len(atoms) * atoms.get_volume() < sample.LARGEST_WORK
    assert len({a.info["group"] for a in frames if a.info["kind"] == "rattled"}) > 100


def test_frames_do_not_depend_on_other_structures(frames, monkeypatch):
    chosen = [a for a in structures() if a.info["structure_id"] == "mp-1265"]
    monkeypatch.setattr(sample, "structures", lambda: chosen)
    alone = sample.round_one()
    same = [a for a in frames if a.info["group"] == "mp-1265"]
    assert [a.info["structure_id"] for a in alone] == [a.info["structure_id"] for a in same]
    for one, other in zip(alone, same, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)


def test_starts_of_dynamics_are_cells_of_compounds():
    (plan,) = sample.rounds().values()
    atoms, info = plan.start(np.random.default_rng(0))
    assert len(atoms) >= sample.FEWEST_ATOMS
    assert info["system"] == system_of(atoms)
    assert len(info["k_points"]) == 3


def test_labels_are_computed_by_a_stand_in(stand_in, tmp_path, monkeypatch, capsys):
    few = [a for a in sample.round_one() if a.info["group"] == "mp-1265"]
    total = sum(len(a.info["levels"].split("+")) for a in few)
    monkeypatch.setattr("mfbench.benchmarks.labelling.gpaw.generation.Crystal.geometries", lambda self, out=None: few)
    monkeypatch.setattr(sys, "argv", ["generate", "label", str(tmp_path / "out")])
    with pytest.raises(DataError, match=r"GPAW 0\.0 does not make the kinetic energy density symmetric"):
        CRYSTAL.main()
    module = tmp_path / "modules" / "gpaw.py"
    module.write_text(module.read_text().replace('"0.0"', '"26.7.0"'))
    capsys.readouterr()
    CRYSTAL.main()
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "out")
    n = len(read_labels(tmp_path / "out"))
    assert said.err.splitlines()[-1].startswith(f"{n} of {total} labels (")
    labels = read_labels(tmp_path / "out")
    assert {name for name, _ in labels} == {a.info["structure_id"] for a in few}
    assert {record["plane_waves_eV"] for record in labels.values()} == {800.0}


def test_formation_energies_of_the_convergence_test_cancel_what_is_linear():
    frames = convergence.phases()
    assert [len(a) for a in frames] == sorted(len(a) for a in frames)
    assert {a.info["structure_id"] for a in frames} >= {*convergence.COMPOUNDS, "Li-element", "B-element", "O-element"}
    per_atom = {"Li": -2.0, "Mg": -1.5, "O": -5.0, "B": -6.0, "N": -8.0}
    energies = {
        str(a.info["structure_id"]): sum(per_atom[s] for s in a.get_chemical_symbols())
        - 0.3 * len(a) * (len(set(a.numbers)) > 1)
        for a in frames
    }
    found = convergence.formation_energies_ev_per_atom(frames, energies)
    assert found == pytest.approx(dict.fromkeys(convergence.COMPOUNDS, -0.3))
    del energies["O-element"]
    assert set(convergence.formation_energies_ev_per_atom(frames, energies)) == {"mp-865939", "mp-2653"}


def test_convergence_is_a_table_of_what_is_there(tmp_path):
    found = convergence.measure(tmp_path, 0)
    assert set(found) == set(convergence.points())
    records = {
        str(a.info["structure_id"]): {"energy_eV": -1.0 * len(a), "cpu_s": 2.0, "structure_id": "x"}
        for a in convergence.phases()
    }
    off = {**records, "mp-1265": {"energy_eV": -2.01, "cpu_s": 2.0}}
    row = [p for p in convergence.points() if p[1] == convergence.DENSITIES[0]]
    text = convergence.table({**found, row[0]: off, row[-1]: records})
    first = next(line for line in text.splitlines() if line.startswith(f"| {row[0][0]:g} | {row[0][1]:g} |"))
    assert first == "| 400 | 2 | +0.00 | -5.00 | +0.00 | 16 |"


def test_extraction_takes_ordered_binaries_and_says_what_is_missing(tmp_path):
    def structure(atoms: Atoms) -> dict:
        sites = [
            {"species": [{"element": s, "occu": 1}], "abc": p.tolist()}
            for s, p in zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions(), strict=True)
        ]
        return {"lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites}

    records = [
        {"mp_id": f"mp-{i}", "structure": structure(a), "bulk_modulus_vrh": 10.0, "shear_modulus_vrh": 5.0}
        for i, a in enumerate((bulk("MgO", "rocksalt", a=4.2), bulk("CuO", "rocksalt", a=4.2), bulk("Si")))
    ]
    references = {e: {"structure": structure(bulk("Cu")), "matpes_id": "x"} for e in ELEMENTS}
    for name, content in ((extract.BINARIES, records), (extract.REFERENCES, references)):
        (tmp_path / name).write_bytes(gzip.compress(json.dumps(content).encode()))
    found = extract.extract(tmp_path)
    assert [a.info["structure_id"] for a in found[len(ELEMENTS) :]] == ["mp-0"]
    assert found[-1].info["bulk_modulus_vrh_mp_gpa"] == 10.0
    np.testing.assert_allclose(found[-1].cell.array, bulk("MgO", "rocksalt", a=4.2).cell.array)
    (tmp_path / extract.BINARIES).unlink()
    with pytest.raises(DataError, match="no gzipped JSON"):
        extract.extract(tmp_path)
