"""Which keys become labels: one source a fidelity, in any spelling, and nothing like a label goes unsaid."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data.frames import energy_of, fidelities_in, forces_of, has_label, stress_of
from mfbench.mfcore.data.label_adoption import adopt_labels
from mfbench.mfcore.data.label_keys import LabelKeys, is_other_energy, key_of_label, numbers
from mfbench.mfcore.data.label_sources import survey
from mfbench.mfcore.data.read import read_file
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label

FILE = Path("some.xyz")
FORCES = np.array([[0.1, 0, 0], [-0.1, 0, 0]])


def frames(n: int = 4, periodic: bool = False, **labels: object) -> list[Atoms]:
    """Frames whose keys are those given; arrays of shape (2, 3) are per atom."""
    made = []
    for i in range(n):
        atoms = (
            bulk("NaCl", "rocksalt", a=5.6 + 0.01 * i) if periodic else Atoms("H2", [[0, 0, 0], [0, 0, 0.7 + 0.01 * i]])
        )
        for key, value in labels.items():
            per_atom = isinstance(value, np.ndarray) and value.shape == (2, 3)
            (atoms.arrays if per_atom else atoms.info)[key] = value.copy() if per_atom else value
        made.append(atoms)
    return made


@pytest.mark.parametrize(
    "energy", ["energy", "Energy", "ENERGY", "REF_energy", "ref_energy", "free_energy", "total_energy"]
)
@pytest.mark.parametrize("force", ["forces", "force", "Forces"])
def test_spellings_of_plain_labels_are_read(energy: str, force: str) -> None:
    prefix = energy[:4] if energy.lower().startswith("ref_") else ""
    made = frames(**{energy: -1.5, prefix + force: FORCES})
    notes = adopt_labels(made, FILE, "high").notes
    assert all(energy_of(a, "high") == -1.5 for a in made)
    assert all((forces_of(a, "high") == FORCES).all() for a in made)
    if energy in ("free_energy", "total_energy"):
        assert any(f"'{energy}' is read as the energy" in n for n in notes)


@pytest.mark.parametrize("key", ["virial", "virials", "REF_virials", "REF_virial", "pbe_virial"])
def test_virials_become_stresses_with_the_sign_of_ase(key: str) -> None:
    prefix = key.rpartition("_")[0]
    name = {"": "reference", "REF": "reference"}.get(prefix, prefix)
    virial = np.array([1.0, 0.2, 0.3, 0.2, 2.0, 0.4, 0.3, 0.4, 3.0])
    energy = f"{prefix}_energy" if prefix else "energy"
    made = frames(periodic=True, **{energy: -1.0, key: virial})
    adopt_labels(made, FILE)
    for atoms in made:
        np.testing.assert_allclose(stress_of(atoms, name), -virial.reshape(3, 3) / atoms.get_volume())


@pytest.mark.parametrize(
    "other", ["band_gap_energy", "vibrational_energy", "pbe_correlation_energy", "zero_point_energy"]
)
@pytest.mark.parametrize("where", ["every frame", "one frame"])
def test_an_energy_by_name_only_is_named_and_displaces_nothing(other: str, where: str) -> None:
    made = frames(energy=-1.5, forces=FORCES)
    for atoms in made if where == "every frame" else made[2:3]:
        atoms.info[other] = 5.0
    notes = adopt_labels(made, FILE).notes
    assert fidelities_in(made) == ["reference"]
    assert all(energy_of(a, "reference") == -1.5 for a in made)
    assert any(f"'{other}' is not read" in n and f"--energy-key {other}" in n for n in notes)


def test_two_full_sets_are_listed_and_asked_about() -> None:
    labels = {"energy": -1.5, "forces": FORCES, "REF_energy": -2.5, "REF_forces": 2 * FORCES}
    with pytest.raises(DataError, match=r"compete.*energy, forces.*REF_energy, REF_forces"):
        adopt_labels(frames(**labels), FILE, "high")
    for name, expected in (("REF", -2.5), ("reference", -1.5)):
        made = frames(**labels)
        adopt_labels(made, FILE, name)
        assert energy_of(made[0], name) == expected
        assert forces_of(made[0], name)[0, 0] == pytest.approx(-expected * 0.1 - 0.05 if name == "reference" else 0.2)
    same = frames(energy=-1.5, forces=FORCES, dft_energy=-1.5, dft_forces=FORCES)
    notes = adopt_labels(same, FILE, "high").notes
    assert energy_of(same[0], "high") == -1.5
    assert any("same numbers" in n for n in notes)


def test_keys_that_the_user_names_are_read() -> None:
    made = frames(E=-3.0, my_f=2 * FORCES, energy=-1.5, forces=FORCES)
    adopt_labels(made, FILE, "high", LabelKeys(energy="E", forces="my_f"))
    assert energy_of(made[0], "high") == -3.0
    assert (forces_of(made[0], "high") == 2 * FORCES).all()
    made = frames(energy=-1.5, free_energy=-1.7, forces=FORCES)
    adopt_labels(made, FILE, None, LabelKeys(energy="free_energy"))
    assert energy_of(made[0], "reference") == -1.7
    assert has_label(made[0], "reference", Label.FORCES)
    with pytest.raises(DataError, match="no frame has this key"):
        adopt_labels(frames(energy=-1.5), FILE, None, LabelKeys(energy="absent"))


@pytest.mark.parametrize("key", ["energy_dft", "E_tot", "TotEnergy", "forces_dft", "my_stress_tensor", "gradient"])
def test_a_key_that_sounds_like_a_label_is_named(key: str) -> None:
    made = frames(energy=-1.0, **{key: FORCES if "forces" in key or key == "gradient" else 1.0})
    notes = adopt_labels(made, FILE).notes
    assert any(f"'{key}' (4 frames) sounds like a label" in n for n in notes)


def test_free_energy_that_differs_is_told() -> None:
    notes = adopt_labels(frames(energy=-1.5, free_energy=-1.7, forces=FORCES), FILE).notes
    assert any("differs from 'energy' by up to 100 meV/atom" in n for n in notes)


def test_a_stress_and_a_virial_that_disagree_are_told() -> None:
    made = frames(periodic=True, energy=-1.0, stress=np.eye(3).ravel() * 0.01, virial=np.eye(3).ravel())
    notes = adopt_labels(made, FILE).notes
    assert any("'stress' is read, 'virial' is not and is not equal" in n for n in notes)
    np.testing.assert_allclose(stress_of(made[0], "reference"), np.eye(3) * 0.01)


@given(
    prefix=st.sampled_from(["", "dft_", "REF_", "mp2-", "Ab Initio_"]), quantity=st.sampled_from(["energy", "Energy"])
)
@settings(max_examples=20, deadline=None)
def test_a_key_is_a_prefix_and_a_quantity(prefix: str, quantity: str) -> None:
    found = key_of_label(prefix + quantity, False)
    assert found is not None
    assert (found.source, found.label, found.virial) == (prefix[:-1], Label.ENERGY, False)
    assert key_of_label(prefix + quantity, True) is None
    assert key_of_label("energies", False) is None


def test_numbers_have_a_type() -> None:
    assert numbers("-1.5D+01") == -15.0
    np.testing.assert_array_equal(numbers("1.0d0 2 3"), [1, 2, 3])
    for wrong in (True, np.array([True, False]), "high", None, {}):
        with pytest.raises((TypeError, ValueError)):
            numbers(wrong)
    assert is_other_energy("pbe_Fermi")
    assert not is_other_energy("pbe_d3")


def test_labels_are_counted_by_source() -> None:
    made = frames(energy=1.0, dft_energy=2.0, dft_forces=FORCES)
    made[0].info["energy"] = float("nan")
    counted = {name: (s.count[Label.ENERGY], s.complete, s.plain) for name, s in survey(made).items()}
    assert counted == {"": (3, False, True), "dft": (4, True, False)}


def test_a_zero_stress_of_a_molecule_is_no_label_and_said_once(tmp_path: Path) -> None:
    made = [molecule("H2O"), molecule("CH4")]
    for atoms in made:
        atoms.info |= {"energy": -1.0, "stress": np.zeros((3, 3))}
    write(tmp_path / "a.xyz", made, format="extxyz")
    read = read_file(tmp_path / "a.xyz", "pbe")
    assert len([n for n in read.notes if "zero" in n]) == 1
    assert not any(has_label(a, "pbe", Label.STRESS) for a in read.frames)
