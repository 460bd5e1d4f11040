"""Frames: round trips, aliases, and a clear error for whatever a file can have wrong."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data.frames import (
    energy_of,
    fidelities_in,
    forces_of,
    has_label,
    rename_fidelity,
    set_labels,
    stress_of,
    write_frames,
)
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import DataError, StorageError
from mfbench.mfcore.fidelity import Label

HEADER = 'Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F"'
LINES = ["H 0 0 0 0.1 0 0", "H 0 0 0.75 -0.1 0 0"]


def write_text(path: Path, header: str = HEADER, lines: list[str] = LINES, count: object = None) -> Path:
    path.write_text(f"{len(lines) if count is None else count}\n{header}\n" + "\n".join(lines) + "\n")
    return path


def test_round_trip_keeps_labels_positions_and_names(tmp_path):
    rng = np.random.default_rng(0)
    crystal = bulk("GaN", "wurtzite", a=3.19, c=5.19)
    gas = molecule("CH3OH")
    stress = rng.normal(size=(3, 3))
    stress = 0.01 * (stress + stress.T)
    forces = rng.normal(size=(len(crystal), 3))
    set_labels(crystal, "pbe", energy=-12.345678901234, forces=forces, stress=stress)
    crystal.info |= {"structure_id": "gan-0", "group": "ordering 3"}
    set_labels(gas, "wb97x", energy=1.0)
    gas.info |= {"structure_id": "meoh", "group": "CH3OH"}
    write_frames(tmp_path / "a.xyz", [crystal, gas])
    first, second = read_frames(tmp_path / "a.xyz")
    assert energy_of(first, "pbe") == -12.345678901234
    np.testing.assert_allclose(forces_of(first, "pbe"), forces, atol=5.1e-9)
    np.testing.assert_allclose(stress_of(first, "pbe"), stress, atol=1e-15)
    np.testing.assert_allclose(first.positions, crystal.positions, atol=5.1e-9)
    assert (first.info["structure_id"], first.info["group"]) == ("gan-0", "ordering 3")
    assert fidelities_in([first, second]) == ["pbe", "wb97x"]
    assert np.isnan(energy_of(second, "pbe"))
    assert np.isnan(forces_of(second, "wb97x")).all()
    assert forces_of(second, "wb97x").shape == (6, 3)
    assert not has_label(second, "wb97x", Label.FORCES)


def test_write_leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch):
    write_frames(tmp_path / "a.xyz", [molecule("H2O")])
    before = (tmp_path / "a.xyz").read_text()

    def fail(stream, frames, format):
        stream.write("3\n")
        raise OSError("disk full")

    monkeypatch.setattr("mfbench.mfcore.data.frames.write", fail)
    with pytest.raises(StorageError, match="disk full"):
        write_frames(tmp_path / "a.xyz", [molecule("CH4")])
    assert (tmp_path / "a.xyz").read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.xyz"]


@pytest.mark.parametrize("prefix", ["", "REF_"])
def test_plain_keys_become_labels_of_the_fidelity_asked_for(tmp_path, prefix):
    header = f'Properties=species:S:1:pos:R:3:{prefix}forces:R:3 {prefix}energy=-1.5 pbc="F F F"'
    path = write_text(tmp_path / "a.xyz", header)
    (atoms,) = read_frames(path, "high")
    assert energy_of(atoms, "high") == -1.5
    np.testing.assert_array_equal(forces_of(atoms, "high"), [[0.1, 0, 0], [-0.1, 0, 0]])
    assert fidelities_in([atoms]) == ["high"]
    assert fidelities_in(read_frames(path)) == ["reference"]


def test_labels_of_a_calculator_are_read(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    voigt = np.array([1.0, 2, 3, 4, 5, 6]) / 100
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((2, 3)), stress=voigt)
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    (read,) = read_frames(tmp_path / "a.xyz", "pbe")
    assert read.calc is None
    assert energy_of(read, "pbe") == -3.0
    expected = np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]) / 100
    np.testing.assert_allclose(stress_of(read, "pbe"), expected)


def test_a_lone_energy_never_displaces_an_energy_with_forces(tmp_path):
    for key in ("REF_energy", "mp2_energy", "fermi_energy", "dispersion_energy"):
        path = write_text(tmp_path / "a.xyz", HEADER + f" {key}=-7.0")
        (atoms,) = read_frames(path, "x")
        assert energy_of(atoms, "x") == -1.5
        assert has_label(atoms, "x", Label.FORCES)
    path = write_text(tmp_path / "b.xyz", HEADER + " mp2_energy=-8.0 free_energy=-9.0")
    (atoms,) = read_frames(path)
    assert set(fidelities_in([atoms])) == {"reference", "mp2"}


def test_a_level_that_a_file_does_not_have_is_refused(tmp_path):
    header = 'Properties=species:S:1:pos:R:3:mp2_forces:R:3 mp2_energy=-8.0 pbc="F F F"'
    path = write_text(tmp_path / "b.xyz", header)
    with pytest.raises(DataError, match=r"b\.xyz.*'ccsd_energy'.*mp2") as caught:
        read_frames(path, "ccsd")
    assert caught.value.key == "ccsd_energy"


def test_missing_labels_are_nan_or_absent(tmp_path):
    nan = ["H 0 0 0 nan nan nan", "H 0 0 0.75 nan nan nan"]
    first = write_text(tmp_path / "a.xyz", HEADER.replace("-1.5", "nan"), nan).read_text()
    second = write_text(tmp_path / "b.xyz").read_text()
    (tmp_path / "c.xyz").write_text(first + second)
    unlabelled, labelled = read_frames(tmp_path / "c.xyz", "x")
    assert fidelities_in([unlabelled]) == []
    assert "x_forces" not in unlabelled.arrays
    assert has_label(labelled, "x", Label.ENERGY)
    assert has_label(labelled, "x", Label.FORCES)
    with pytest.raises(DataError, match="every label"):
        read_frames(tmp_path / "a.xyz", "x")


def test_names_and_groups_have_defaults(tmp_path):
    frames = [molecule("H2O") for _ in range(3)]
    write(tmp_path / "run.xyz", frames, format="extxyz")
    assert [a.info["structure_id"] for a in read_frames(tmp_path / "run.xyz")] == [
        "run-00000",
        "run-00001",
        "run-00002",
    ]
    assert len({a.info["group"] for a in read_frames(tmp_path / "run.xyz")}) == 3
    for atoms, trajectory in zip(frames, "aab", strict=True):
        atoms.info["trajectory"] = trajectory
        atoms.info["config_type"] = "all"
    write(tmp_path / "run.xyz", frames, format="extxyz")
    assert [a.info["group"] for a in read_frames(tmp_path / "run.xyz")] == ["a", "a", "b"]


def test_config_type_is_a_group_only_if_it_can_be_split(tmp_path):
    frames = [molecule("H2O") for _ in range(4)]
    for types, expected in (("aabb", 4), ("aabc", 3)):
        for atoms, kind in zip(frames, types, strict=True):
            atoms.info["config_type"] = kind
        write(tmp_path / "run.xyz", frames, format="extxyz")
        assert len({a.info["group"] for a in read_frames(tmp_path / "run.xyz")}) == expected


def test_rename_fidelity_moves_all_labels():
    atoms = molecule("H2O")
    set_labels(atoms, "a", energy=1.0, forces=np.ones((3, 3)))
    rename_fidelity(atoms, "a", "b")
    assert fidelities_in([atoms]) == ["b"]
    assert energy_of(atoms, "b") == 1.0


PERIODIC = HEADER.replace("F F F", "T T T")
CELL = ' Lattice="5 0 0 0 5 0 0 0 5"'
FAULTS = {
    "partial NaN force": (HEADER, ["H 0 0 0 nan 0 0", LINES[1]], "forces", "1 of 6"),
    "infinite force": (HEADER, ["H 0 0 0 inf 0 0", LINES[1]], "forces", "NaN or infinite"),
    "infinite energy": (HEADER.replace("-1.5", "inf"), LINES, "energy", "infinite"),
    "energy is text": (HEADER.replace("-1.5", "low"), LINES, "energy", "numbers"),
    "pbc without a vector": (
        HEADER.replace("F F F", "T T T") + ' Lattice="5 0 0 0 5 0 0 0 0"',
        LINES,
        "Lattice",
        "zero",
    ),
    "pbc without a cell": (PERIODIC, LINES, "Lattice", "along a and that lattice vector is zero"),
    "lengths in nm": (PERIODIC + ' Lattice="0.3 0 0 0 0.3 0 0 0 0.3"', LINES, "Lattice", "0.3 Å"),
    "atoms at one place": (HEADER, ["H 1 2 3 0 0 0", "H 1 2 3 0 0 0"], "pos", "atoms 0 and 1"),
    "far beyond a length": (HEADER, ["H 1e200 0 0 0 0 0", LINES[1]], "pos", "1e[+]200"),
    "energy is a truth value": (HEADER.replace("-1.5", "T"), LINES, "energy", "found 'True'"),
    "energy of no calculation": (HEADER.replace("-1.5", "1e308"), LINES, "energy", "5e[+]307 eV per atom"),
    "a key twice": (HEADER + " energy=-1.5", LINES, "energy", "'-1.5' and as '-1.5'"),
    "columns without end": (HEADER.replace("pos:R:3", "pos:R:1000000000"), LINES, "Properties", "columns"),
    "a column too many": (HEADER, [LINES[0] + " 7", LINES[1]], "Properties", "atom 0 has 8 columns"),
    "no volume": (PERIODIC + ' Lattice="5 0 0 0 5 0 5 5 0"', LINES, "Lattice", "no volume"),
    "non-finite position": (HEADER, ["H nan 0 0 0 0 0", LINES[1]], "pos", "finite"),
    "unknown element": (HEADER, ["X 0 0 0 0 0 0", LINES[1]], "species", "unknown"),
    "stress of a molecule": (HEADER + ' stress="1 0 0 0 0 0 0 0 0"', LINES, "stress", "not periodic"),
    "stress not symmetric": (PERIODIC + CELL + ' stress="0 1 0 0 0 0 0 0 0"', LINES, "stress", "symmetric"),
    "stress of wrong shape": (PERIODIC + CELL + ' stress="0 1 0 0"', LINES, "stress", "shape"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_file_frame_and_key(tmp_path, name):
    header, lines, key, text = FAULTS[name]
    good = write_text(tmp_path / "good.xyz").read_text()
    bad = write_text(tmp_path / "bad.xyz", header, lines)
    bad.write_text(good + bad.read_text())
    with pytest.raises(DataError, match=text) as caught:
        read_frames(bad, "x")
    assert caught.value.file == bad
    assert caught.value.frame == 1
    assert caught.value.key == key


def test_other_faulty_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_frames(tmp_path / "absent.xyz")
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(DataError, match="no frame"):
        read_frames(tmp_path / "empty.xyz")
    (tmp_path / "binary.xyz").write_bytes(bytes([0xFF, 0xFE, 0x00]) * 9)
    with pytest.raises(DataError, match="not text"):
        read_frames(tmp_path / "binary.xyz")
    path = write_text(tmp_path / "plain.xyz", "a comment", ["H 0 0 0", "H 0 0 1"])
    assert fidelities_in(read_frames(path)) == []
    with pytest.raises(DataError, match="no label found"):
        read_frames(path, "x")
    twice = write_text(tmp_path / "twice.xyz", HEADER + " structure_id=a").read_text()
    (tmp_path / "twice.xyz").write_text(twice * 2)
    with pytest.raises(DataError, match="frame 0") as caught:
        read_frames(tmp_path / "twice.xyz")
    assert (caught.value.frame, caught.value.key) == (1, "structure_id")


def test_set_labels_refuses_other_shapes():
    atoms = molecule("H2O")
    with pytest.raises(DataError, match="expected \\(3, 3\\)"):
        set_labels(atoms, "x", forces=np.zeros((2, 3)))
    with pytest.raises(DataError, match="x_stress"):
        set_labels(atoms, "x", stress=np.zeros(4))


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(
    count=st.one_of(st.integers(-2, 4).map(str), st.text(max_size=4)),
    header=st.one_of(
        st.text(max_size=60),
        st.builds(
            lambda k, v: f"{k}={v}",
            st.sampled_from(["Properties", "Lattice", "pbc", "energy", "stress", "structure_id", "a_energy"]),
            st.one_of(
                st.text(max_size=30),
                st.sampled_from(
                    ["species:S:1:pos:R:3:forces:R:3", "species:S:1", "pos:R:3", "species:S:x:pos:R:3", "1 2", '"'],
                ),
                st.lists(st.floats(width=16), max_size=10).map(lambda v: '"' + " ".join(map(str, v)) + '"'),
            ),
        ),
    ),
    lines=st.lists(
        st.one_of(st.text(max_size=20), st.just("H 0 0 0"), st.just("O 1 2 3 nan 5 6")), min_size=0, max_size=3
    ),
)
def test_any_malformed_text_gives_a_data_error_or_valid_frames(tmp_path, count, header, lines):
    path = tmp_path / "any.xyz"
    path.write_text("\n".join([count, header, *lines]), encoding="utf-8", errors="replace")
    try:
        frames = read_frames(path)
    except DataError as error:
        told = error
        frames = []
    else:
        told = None
    assert told is None or told.file == path
    for atoms in frames:
        assert isinstance(atoms, Atoms)
        assert np.isfinite(atoms.positions).all()
        assert atoms.info["structure_id"]


@quick
@given(
    symbols=st.lists(st.sampled_from(["H", "C", "Li", "Ga"]), min_size=1, max_size=5),
    energy=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    with_forces=st.booleans(),
    seed=st.integers(0, 100),
)
def test_any_frame_survives_the_round_trip(tmp_path, symbols, energy, with_forces, seed):
    rng = np.random.default_rng(seed)
    atoms = Atoms(symbols, rng.normal(size=(len(symbols), 3)))
    forces = rng.normal(size=(len(symbols), 3)) if with_forces else None
    set_labels(atoms, "lvl", energy=energy, forces=forces)
    write_frames(tmp_path / "a.xyz", [atoms])
    (back,) = read_frames(tmp_path / "a.xyz")
    assert has_label(back, "lvl", Label.ENERGY) == (energy is not None)
    if energy is not None:
        assert energy_of(back, "lvl") == energy
    assert has_label(back, "lvl", Label.FORCES) == with_forces
    np.testing.assert_array_equal(back.numbers, atoms.numbers)
