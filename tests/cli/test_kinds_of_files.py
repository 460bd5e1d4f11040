"""Files as people have them, through the command line: what is read is right and said, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc100, molecule
from ase.calculators.emt import EMT
from ase.io import read, write

import mfbench

TINY = {
    "core": {"cutoff": 3.0, "n_layers": 1, "lmax": 1, "channels": 4, "n_bessel": 4, "radial_hidden": [8]},
    "training": {"batch_frames": 8, "validation_checks": 2},
}
ATOMS = {1: -13.6, 6: -1030.0, 8: -2040.0, 7: -1480.0}


def labelled(name: str, seed: int, shift: float = 0.0) -> Atoms:
    atoms = Atoms(name) if len(name) == 1 else molecule(name)
    if len(atoms) > 1:
        atoms.rattle(0.08, seed=seed)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.arrays["forces"] = forces
    else:
        energy = 0.0
    atoms.info["energy"] = energy + sum(ATOMS[z] + shift for z in atoms.numbers)
    return atoms


def slabs(n: int, vacuum: float) -> list[Atoms]:
    made = []
    for seed in range(n):
        atoms = fcc100("Cu", (2, 2, 2), vacuum=vacuum)
        atoms.info.clear()
        atoms.rattle(0.06, seed=seed)
        atoms.calc = EMT()
        atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        made.append(atoms)
    return made


pytestmark = pytest.mark.filterwarnings("ignore::mfbench.mfcore.errors.UntrainedWarning")


@pytest.fixture
def fit(call, tmp_path: Path):
    (tmp_path / "settings.yml").write_text(json.dumps(TINY))

    def run(low: list[Atoms], high: list[Atoms], *more: object, arm: str = "multi_fidelity"):
        write(tmp_path / "low.xyz", low, format="extxyz")
        write(tmp_path / "high.xyz", high, format="extxyz")
        files = ("--low", tmp_path / "low.xyz", "--high", tmp_path / "high.xyz", "--out", tmp_path / "model")
        # trainings as short as these may learn nothing, which is exit code 1 and a model all the same
        result = call("fit", "--arm", arm, *files, "--settings", tmp_path / "settings.yml", "--budget", 1500, *more)
        if result.exit_code == 1 and "It has failed to train" in result.stderr:
            result.exit_code = 0
        return result

    return run


def record(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "model" / "potential.json").read_text())["record"]


def test_isolated_atoms_set_e0_and_are_not_held_out(fit, tmp_path: Path) -> None:
    low = [labelled("CH3OH", i) for i in range(12)]
    high = [labelled(s, 0) for s in "CHO"] + [labelled("CH3OH", 100 + i) for i in range(12)]
    for seed in range(3):
        result = fit(low, high, "--seed", seed)
        assert result.exit_code == 0, result.stderr
        assert "isolated atoms of 'high' (C, H, O) set its reference energies" in result.stderr
        found = record(tmp_path)["reference_energies"]["high"]
        assert dict(zip(found["species"], found["values"], strict=True)) == {z: ATOMS[z] for z in (1, 6, 8)}
        assert record(tmp_path)["n_frames"]["high"] == 15 - record(tmp_path)["n_validation"]
        for path in sorted((tmp_path / "model").rglob("*"), reverse=True):
            path.unlink()
        (tmp_path / "model").rmdir()


def test_an_element_of_lf_alone_is_estimated_and_warned_of(call, fit, tmp_path: Path) -> None:
    low = [labelled(n, i) for n in ("CH3OH", "NH3", "CH4", "H2O") for i in range(5)]
    high = [labelled("CH3OH", 100 + i, shift=0.5) for i in range(12)]
    result = fit(low, high)
    assert result.exit_code == 0, result.stderr
    assert "no 'high' label has N" in result.stderr
    energies = record(tmp_path)["reference_energies"]
    values = {f: dict(zip(r["species"], r["values"], strict=True)) for f, r in energies.items()}
    assert energies["high"]["estimated"] == [7]
    assert values["high"][7] - values["low"][7] == pytest.approx(0.5, abs=0.4)
    write(tmp_path / "ammonia.xyz", molecule("NH3"))
    told = call("predict", tmp_path / "model", tmp_path / "ammonia.xyz", "--out", tmp_path / "p.xyz")
    assert told.exit_code == 0
    assert "warning: no 'high' label of the training has N" in told.stderr


def test_an_element_of_hf_alone_is_refused_at_the_lower_level(call, fit, tmp_path: Path) -> None:
    low = [labelled(n, i) for n in ("CH3OH", "CH4", "H2O") for i in range(5)]
    high = [labelled(n, 100 + i, shift=0.5) for n in ("CH3OH", "NH3") for i in range(8)]
    result = fit(low, high, arm="delta_model")
    assert result.exit_code == 0, result.stderr
    assert "no 'low' label, nor one of a cheaper level, has N" in result.stderr
    write(tmp_path / "ammonia.xyz", molecule("NH3"))
    ammonia, out = tmp_path / "ammonia.xyz", tmp_path / "p.xyz"
    told = call("predict", tmp_path / "model", ammonia, "--fidelity", "low", "--out", out)
    assert told.exit_code == 2
    assert "no 'low' label of the training, nor one of a cheaper level, has N: nothing tells its energy" in told.stderr
    told = call("predict", tmp_path / "model", ammonia, "--out", out)
    assert told.exit_code == 0
    assert "an estimate" not in told.stderr


def test_partial_labels_are_all_used(fit, tmp_path: Path) -> None:
    low = [labelled("CH3OH", i) for i in range(12)]
    high = [labelled("CH3OH", 100 + i) for i in range(16)]
    for atoms in high[::2]:
        del atoms.arrays["forces"]
    result = fit(low, high)
    assert result.exit_code == 0, result.stderr
    assert "high (EF)" in result.stderr
    assert record(tmp_path)["n_frames"]["high"] + record(tmp_path)["n_validation"] == 16


def test_keys_and_groups_are_named_by_the_user(fit, tmp_path: Path) -> None:
    low = [labelled("CH3OH", i) for i in range(12)]
    high = [labelled("CH3OH", 100 + i) for i in range(12)]
    for i, atoms in enumerate(high):
        atoms.info["E_mine"], atoms.info["batch"] = atoms.info["energy"] - 7.0, i // 2
    result = fit(low, high, "--energy-key", "high=E_mine", "--group-key", "none")
    assert result.exit_code == 0, result.stderr
    assert "labels of 'reference': E_mine, forces" in result.stderr
    values = record(tmp_path)["reference_energies"]["high"]["values"]
    total = 4 * values[0] + values[1] + values[2]
    assert total == pytest.approx(np.mean([a.info["E_mine"] for a in high]), abs=1.0)
    again = fit(low, high, "--energy-key", "E_mine", "--energy-key", "high=energy", "--out", tmp_path / "b")
    assert again.exit_code == 2
    assert "--energy-key" in again.stderr


def test_a_trajectory_is_held_out_in_blocks(call, fit, tmp_path: Path) -> None:
    rng, step = np.random.default_rng(0), np.zeros((6, 3))
    frames = []
    for i in range(60):
        step = 0.93 * step + 0.03 * rng.normal(size=(6, 3))
        atoms = labelled("CH3OH", 0)
        atoms.positions = molecule("CH3OH").positions + step
        atoms.info["energy"] -= 0.001 * i
        frames.append(atoms)
    result = fit([labelled("CH3OH", i) for i in range(12)], frames)
    assert "60 frames from 'high-00000' to 'high-00059' are a time series" in result.stderr
    shown = call("data", "inspect", tmp_path / "high.xyz")
    assert "are a time series" in shown.stdout
    told = json.loads(call("data", "inspect", tmp_path / "high.xyz", "--json").stdout)
    assert 6 <= told["n_groups"] <= 30
    assert "usable" in told["verdict"]
    single = json.loads(call("data", "inspect", tmp_path / "high.xyz", "--json", "--block", 1).stdout)
    assert single["n_groups"] == 60


def test_a_slab_is_fitted_and_its_energy_is_independent_of_vacuum(call, fit, tmp_path: Path) -> None:
    result = fit(slabs(10, 1.0), slabs(12, 4.0))
    assert result.exit_code == 0, result.stderr
    calculator = mfbench.load(tmp_path / "model").calculator()
    energies = []
    for vacuum in (0.5, 2.0, 12.0):
        (atoms,) = slabs(1, vacuum)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    np.testing.assert_allclose(energies, energies[0], atol=2e-5)
    write(tmp_path / "frames.xyz", slabs(2, 3.0), format="extxyz")
    predicted = tmp_path / "p.xyz"
    assert call("predict", tmp_path / "model", tmp_path / "frames.xyz", "--out", predicted, "--stress").exit_code == 0
    first = read(predicted, 0)
    assert first.get_potential_energy() == pytest.approx(slabs(1, 3.0)[0].info["energy"]), "its own label is kept"
    assert np.asarray(first.info["predicted_stress"]).shape == (9,)
    assert first.info["predicted_energy"] == pytest.approx(energies[0], abs=1e-4)


def test_coincident_atoms_are_refused_and_nothing_is_written(call, fit, tmp_path: Path) -> None:
    high = [labelled("CH3OH", 100 + i) for i in range(12)]
    assert fit([labelled("CH3OH", i) for i in range(12)], high).exit_code == 0
    wrong = high[3].copy()
    wrong.positions[1] = wrong.positions[2]
    write(tmp_path / "wrong.xyz", [high[0], wrong], format="extxyz")
    result = call("predict", tmp_path / "model", tmp_path / "wrong.xyz", "--out", tmp_path / "p.xyz")
    assert result.exit_code == 2
    assert "frame 1" in result.stderr
    assert "atoms 1 and 2 are at one place" in result.stderr
    assert not (tmp_path / "p.xyz").exists()


def test_stresses_of_another_sign_are_refused_or_accepted_by_name(fit, call, tmp_path: Path) -> None:
    def cells(n: int, factor: float) -> list[Atoms]:
        made = []
        for seed in range(n):
            atoms = fcc100("Cu", (1, 1, 4), vacuum=None, a=3.65)
            atoms.pbc = True
            strain = np.random.default_rng(seed).normal(0, 0.01, (3, 3))
            atoms.set_cell(
                [[2.58, 0, 0], [0, 2.58, 0], [0, 0, 7.3]] @ (np.eye(3) + strain + strain.T), scale_atoms=True
            )
            atoms.rattle(0.03, seed=seed)
            atoms.calc = EMT()
            atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
            stress = factor * atoms.get_stress(voigt=False).ravel()
            energy = atoms.info["energy"] + factor  # of two levels: not the same
            atoms.calc, atoms.info = None, {"energy": energy, "virial": -stress * atoms.get_volume()}
            made.append(atoms)
        return made

    sentence = "high.xyz: high: stresses are in eV/Å³ with the opposite sign"
    result = fit(cells(24, 1.0), cells(24, -1.0))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "--accept-faults" in result.stderr
    assert "low.xyz: low" not in result.stderr
    assert not (tmp_path / "model").exists()
    files = ("--low", tmp_path / "low.xyz", "--high", tmp_path / "high.xyz")
    result = call("compare", *files, "--out", tmp_path / "runs", "--dry-run")
    assert (result.exit_code, sentence in result.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()
    result = fit(cells(24, 1.0), cells(24, -1.0), "--accept-faults")
    assert result.exit_code == 0, result.stderr
    assert f"FAULT, accepted: {tmp_path / sentence.split(':')[0]}:{sentence.partition(':')[2]}" in result.stderr


def test_a_file_that_must_be_mended_is_inspected_with_the_code_of_wrong_input(call, tmp_path: Path) -> None:
    frames = [labelled("CH3OH", i) for i in range(8)]
    write(tmp_path / "right.xyz", frames, format="extxyz")
    again = frames[5].copy()
    again.info["energy"] += 2.0
    write(tmp_path / "wrong.xyz", [*frames, again], format="extxyz")
    right = call("data", "inspect", tmp_path / "right.xyz")
    assert (right.exit_code, "verdict     usable" in right.stdout) == (0, True)
    for form in ([], ["--json"]):
        wrong = call("data", "inspect", tmp_path / "wrong.xyz", *form)
        assert wrong.exit_code == 2
        assert "not to be trained on without mending 1 fault" in wrong.stdout
        assert "'wrong-00005' and 'wrong-00008' are one geometry with two energies" in wrong.stdout
        assert "reference_energy" not in wrong.stdout, "no such key is in the file"
        assert "different groups" not in wrong.stdout, "copies stay in one group"


@pytest.mark.parametrize(
    ("key", "value"), [("energy", "T"), ("REF_energy", "many"), ("free_energy", "nine"), ("dft_energy", "1 2")]
)
def test_a_faulty_label_is_named_by_its_key_in_the_file(call, tmp_path: Path, key: str, value: str) -> None:
    prefix = {"REF_energy": "REF_", "dft_energy": "dft_"}.get(key, "")
    frames = []
    for i in range(3):
        number = value if i == 1 else f"{-3.0 - 0.01 * i}"
        frames.append(
            f'2\nProperties=species:S:1:pos:R:3:{prefix}forces:R:3 {key}="{number}" pbc="F F F"\n'
            f"H 0 0 0 0 0 0.1\nH 0 0 {0.74 + 0.01 * i} 0 0 -0.1\n"
        )
    (tmp_path / "h2.xyz").write_text("".join(frames))
    for command in (["data", "inspect", tmp_path / "h2.xyz"], ["fit", "--arm", "single_fidelity"]):
        more = ["--high", tmp_path / "h2.xyz", "--out", tmp_path / "m"] if command[0] == "fit" else []
        told = call(*command, *more)
        assert told.exit_code == 2
        assert f"frame 1, key '{key}'" in told.stderr


def test_labels_that_are_nan_are_counted(call, tmp_path: Path) -> None:
    frames = [labelled("CH3OH", i) for i in range(4)]
    frames[1].info["energy"] = frames[2].info["energy"] = float("nan")
    write(tmp_path / "high.xyz", frames, format="extxyz")
    told = call("data", "inspect", tmp_path / "high.xyz")
    assert "note        'energy' of 2 of 4 frames is NaN: these frames have no such label" in told.stdout


def test_the_stress_that_is_left_out_is_named_by_its_key_in_the_file(call, tmp_path: Path) -> None:
    frames = [labelled("CH3OH", i) for i in range(4)]
    for atoms in frames:
        atoms.info["REF_virial"] = np.zeros(9)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = atoms.info.pop("energy"), atoms.arrays.pop("forces")
    write(tmp_path / "high.xyz", frames, format="extxyz")
    told = call("data", "inspect", tmp_path / "high.xyz")
    assert told.exit_code == 0
    assert "note        'REF_virial' of 4 molecules is zero and is not read" in told.stdout
