"""A user's own two files, right and wrong, through the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

import mfbench
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.mfcore.errors import UntrainedWarning
from mfbench.mfcore.potentials.potential import ENERGY_ERRORS

HIGH_E0, DEPTH = {1: -13.5, 8: -2040.0}, {"low": 1.0, "high": 1.2}

TINY = {
    "core": {"cutoff": 3.0, "n_layers": 1, "lmax": 1, "channels": 4, "n_bessel": 4, "radial_hidden": [8]},
    "training": {"batch_frames": 8, "validation_checks": 2},
}


def labels(atoms: Atoms, level: str) -> tuple[float, np.ndarray]:
    """Springs between all pairs, and constants per element: eV, and forces as their exact derivative."""
    energy, forces = sum(HIGH_E0[int(z)] for z in atoms.numbers), np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for j in range(i):
            vector = atoms.positions[i] - atoms.positions[j]
            energy += 0.5 * DEPTH[level] * vector @ vector
            forces[i] -= DEPTH[level] * vector
            forces[j] += DEPTH[level] * vector
    return energy, forces


def frames(n: int, level: str, key: str, seed: int, forces: bool = True) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        atoms = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
        atoms.positions += rng.normal(0, 0.15, (3, 3))
        atoms.info["structure_id"], atoms.info["group"] = f"{level}{k}", f"{level}{k // 2}"
        energy, force = labels(atoms, level)
        atoms.info[f"{key}_energy"] = energy
        if forces:
            atoms.arrays[f"{key}_forces"] = force
        made.append(atoms)
    return made


class Files:
    """Two good files, and ways to spoil them."""

    def __init__(self, folder: Path) -> None:
        self.low, self.high, self.out = folder / "low.xyz", folder / "high.xyz", folder / "model"
        self.settings = folder / "settings.yml"
        self.settings.write_text(json.dumps(TINY))
        write(self.low, frames(24, "low", "dft", 1))
        write(self.high, frames(24, "high", "cc", 2))
        self.before = {p: p.read_bytes() for p in folder.iterdir()}

    def edit(self, path: Path, change: Callable[[list[Atoms]], list[Atoms] | None]) -> None:
        content = read(path, ":")
        write(path, change(content) or content)
        self.before[path] = path.read_bytes()

    def fit(self, arm: str = "multi_fidelity") -> list[object]:
        return [
            *("fit", "--arm", arm, "--low", self.low, "--high", self.high, "--out", self.out),
            *("--settings", self.settings, "--budget", 2000),
        ]

    def compare(self) -> list[object]:
        return [
            *("compare", "--low", self.low, "--high", self.high, "--out", self.out, "--settings", self.settings),
            *("--budget", 600, "--draws", 2, "--workers", 1, "--arm", "single_fidelity", "--arm", "multi_fidelity"),
        ]

    def untouched(self) -> bool:
        return {p: p.read_bytes() for p in self.low.parent.rglob("*") if p.is_file()} == self.before


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_fit_load_calculate_predict(call, files: Files, tmp_path: Path) -> None:
    result = call(*files.fit())
    assert result.exit_code == 0, result.stderr
    assert not list(tmp_path.glob("*.partial"))
    atoms = read(files.high, 0)
    atoms.calc = mfbench.load(files.out).calculator(fidelity="high")
    energy, force = atoms.get_potential_energy(), atoms.get_forces()

    predicted = tmp_path / "predicted.xyz"
    assert call("predict", files.out, files.high, "--out", predicted).exit_code == 0
    first = read(predicted, 0)
    assert first.info["predicted_energy"] == pytest.approx(energy, abs=1e-4)
    assert first.arrays["predicted_forces"] == pytest.approx(force, abs=1e-4)
    assert first.info["cc_energy"] == pytest.approx(labels(first, "high")[0])

    again = call(*files.fit())
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_a_fit_that_learns_nothing_is_kept_and_has_failed(call, files: Files, tmp_path: Path) -> None:
    result = call(*files.fit("single_fidelity")[:-1], 30)
    assert result.exit_code == 1
    assert "It has failed to train" in result.stderr
    with pytest.warns(UntrainedWarning, match="has failed to train"):
        assert not mfbench.load(files.out).record[ENERGY_ERRORS]["learned"]
    bent = read(files.high, ":2")
    bent[1].positions[2] += 20.0
    bent[1].set_cell([3.0, 3.0, 60.0])
    bent[1].pbc = True
    write(tmp_path / "bent.xyz", bent)
    result = call("predict", files.out, tmp_path / "bent.xyz", "--out", tmp_path / "p.xyz", "--stress")
    assert result.exit_code == 0
    told = ("failed to train", "frame 1 has periodic images", "no 'cc' stress was trained on")
    assert [result.stderr.count(words) for words in told] == [1, 1, 1]


def test_compare_answers_and_remembers(call, files: Files) -> None:
    result = call(*files.compare())
    assert result.exit_code == 0, result.stderr
    assert f"The target is 'cc', of {files.high}." in result.stdout
    verdicts = ("Use single_fidelity", "Use multi_fidelity", "No arm can be named")
    assert sum(verdict in result.stdout for verdict in verdicts) == 1
    everything = call("compare", "--low", files.low, "--high", files.high, "--dry-run")
    assert "left out: delta_labels: it needs LF labels of the HF structures" in everything.stdout
    assert "left out" not in result.stdout
    again = call(*files.compare())
    assert "4 runs: 4 stored, 0 to compute." in again.stdout


def test_a_learning_curve_on_own_test_frames(call, files: Files, tmp_path: Path) -> None:
    own = tmp_path / "own.xyz"
    test = frames(6, "high", "cc", 7)
    for number, atoms in enumerate(test):
        atoms.info["group"] = f"own{number}"
    write(own, test)
    arms = ("--arm", "single_fidelity", "--arm", "multi_fidelity", "--arm", "single_fidelity_all")
    words = ("--low", files.low, "--high", files.high, "--out", files.out, "--settings", files.settings)
    sizes = ("--n-high", 12, "--n-high", 6)
    result = call("compare", *words, "--test", own, *sizes, *arms, "--budget", 600, "--draws", 1, "--workers", 1)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "The test is 6 HF frames of" in result.stdout
    assert result.stdout.index("n_high = 6,") < result.stdout.index("n_high = 12,")
    assert "own.xyz" in result.stdout.split("n_high = 6,")[1].split("n_high = 12,")[0]
    assert "test frames of own.xyz" in result.stdout


def test_more_high_frames_than_there_are(call, files: Files) -> None:
    result = call(*files.compare(), "--n-high", 500)
    assert result.exit_code == 2
    assert "--n-high 500: there are " in result.stderr
    result = call(*files.compare(), "--n-high", "some")
    assert "--n-high some: expected a positive number of HF frames, or all" in result.stderr
    assert files.untouched()


def test_single_fidelity_needs_no_low_frames_and_does_not_say_that_it_learns_from_them(call, files: Files) -> None:
    words = ["--high", files.high, "--out", files.out, "--settings", files.settings, "--budget", 600]
    result = call("fit", "--arm", "single_fidelity", *words)
    assert result.exit_code == 0, result.stderr
    assert "Training single_fidelity on 20 cc (EF); 4 for selection." in result.stderr
    assert "4 of 24 HF frames are not trained on and select the model" in result.stderr
    assert "at least 4, since 0.1 of them (--validation-fraction) are 2" in result.stderr
    again = call(
        "fit",
        "--arm",
        "single_fidelity",
        "--low",
        files.low,
        *words[:2],
        "--out",
        files.low.parent / "again",
        *words[4:],
    )
    assert "low.xyz is not read" in again.stderr
    assert "Training single_fidelity on 20 cc (EF)" in again.stderr


def test_arms_that_learn_from_low_frames_ask_for_them(call, files: Files) -> None:
    for words in (("fit", "--arm", "transfer"), ("compare", "--arm", "transfer"), ("compare",)):
        result = call(*words, "--high", files.high, "--out", files.out)
        assert result.exit_code == 2
        assert "--low FILE" in result.stderr
    assert files.untouched()


def test_levels_are_fitted_by_their_names(call, files: Files) -> None:
    middle = files.low.with_name("middle.xyz")
    between = frames(16, "high", "other", 5)
    for atoms in between:
        atoms.info["group"] = f"middle {atoms.info['group']}"
    write(middle, between)
    words = ["--level", f"dft={files.low}", "--level", f"mp2={middle}", "--level", f"cc={files.high}"]
    rest = ["--out", files.out, "--settings", files.settings, "--budget", 2000]
    result = call("fit", "--arm", "transfer", *words, *rest)
    assert result.exit_code == 0, result.stderr
    assert "the labels of 'other' are those of 'mp2'" in result.stderr
    assert re.search(r"on 24 dft \(EF\), 1\d mp2 \(EF\), 20 cc \(EF\)", result.stderr)
    refused = call("fit", "--arm", "delta_model", *words, "--out", files.low.parent / "delta")
    assert refused.exit_code == 2
    assert "one LF level alone, and there are 2" in refused.stderr
    for wrong, told in (
        (["--low", files.low], "in place of --low"),
        (["--energy-key", "low=E"], "no file is 'low'"),
        (["--level", "x"], "expected NAME=FILE"),
    ):
        refused = call("fit", "--arm", "transfer", *words, *wrong, "--out", files.low.parent / "wrong")
        assert refused.exit_code == 2
        assert told in refused.stderr


def test_a_key_of_inspect_is_for_its_one_file(call, files: Files) -> None:
    result = call("data", "inspect", files.high, "--energy-key", "low=cc_energy")
    assert result.exit_code == 2
    assert "--energy-key low=cc_energy: one file is read here" in result.stderr
    assert call("data", "inspect", files.high, "--energy-key", "cc_energy").exit_code == 0


def test_the_files_of_a_comparison_are_read_once(call, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], UserTask.__init__

    def count(self: UserTask, *args: object, **options: object) -> None:
        made.append(args)
        make(self, *args, **options)

    monkeypatch.setattr(UserTask, "__init__", count)
    assert call(*files.compare(), "--dry-run").exit_code == 0
    assert len(made) == 1


def nan_force(content: list[Atoms]) -> None:
    content[3].arrays["cc_forces"][1, 2] = np.nan


def zero_vector(content: list[Atoms]) -> None:
    content[5].cell = [9, 0, 9]
    content[5].pbc = True


def no_labels(content: list[Atoms]) -> list[Atoms]:
    return [Atoms(a.numbers, positions=a.positions) for a in content]


def same_name(content: list[Atoms]) -> None:
    for atoms in content:
        atoms.info["dft_energy"] = atoms.info.pop("cc_energy")
        atoms.arrays["dft_forces"] = atoms.arrays.pop("cc_forces")


def one_group(content: list[Atoms]) -> None:
    for atoms in content:
        atoms.info["group"] = "all of them"


def one_frame(content: list[Atoms]) -> list[Atoms]:
    return content[:1]


def infinite_energy(content: list[Atoms]) -> None:
    content[2].info["cc_energy"] = np.inf


FAULTS = [
    (nan_force, ["high.xyz", "frame 3", "cc_forces"]),
    (zero_vector, ["high.xyz", "frame 5", "Lattice", "along b"]),
    (no_labels, ["high.xyz", "energy"]),
    (same_name, ["dft", "same name"]),
    (one_group, ["high.xyz", "group"]),
    (one_frame, ["high.xyz", "group"]),
    (infinite_energy, ["high.xyz", "frame 2", "cc_energy"]),
]


@pytest.mark.parametrize("command", ["fit", "compare"])
@pytest.mark.parametrize(("spoil", "told"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_in_a_file_is_named_and_nothing_is_written(call, files: Files, command: str, spoil, told) -> None:
    files.edit(files.high, spoil)
    result = call(*(files.fit() if command == "fit" else files.compare()))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    for word in told:
        assert word in result.stderr
    assert files.untouched()


def test_a_missing_file_is_named(call, files: Files) -> None:
    files.low.unlink()
    del files.before[files.low]
    result = call(*files.fit())
    assert result.exit_code == 2
    assert "low.xyz" in result.stderr
    assert files.untouched()


def test_a_wrong_key_of_the_settings_is_named(call, files: Files) -> None:
    files.settings.write_text(json.dumps({"core": {"cutof": 3.0}}))
    files.before[files.settings] = files.settings.read_bytes()
    result = call(*files.fit())
    assert result.exit_code == 2
    assert "core.cutof" in result.stderr
    assert files.untouched()


def test_an_arm_that_the_files_cannot_serve_is_refused(call, files: Files) -> None:
    result = call(*files.fit("delta_labels"))
    assert result.exit_code == 2
    assert "dft_energy" in result.stderr
    assert files.untouched()


def test_an_element_never_seen_in_training_is_refused(call, files: Files, tmp_path: Path) -> None:
    assert call(*files.fit("single_fidelity")).exit_code == 0
    strange, out = tmp_path / "strange.xyz", tmp_path / "predicted.xyz"
    write(strange, [Atoms("OH2", np.eye(3)), Atoms("SH2", np.eye(3))])
    result = call("predict", files.out, strange, "--out", out)
    assert result.exit_code == 2
    assert "S" in result.stderr
    assert "frame 1" in result.stderr
    assert not out.exists()


def test_an_element_that_only_held_out_frames_have_is_refused(call, files: Files) -> None:
    for only in range(12):  # whichever group is held out, some edit puts sulfur there alone

        def one(content: list[Atoms], only: int = only) -> None:
            for atoms in content:
                atoms.numbers[0] = 16 if atoms.info["group"] == f"high{only}" else 8

        files.edit(files.high, one)
        result = call(*files.compare(), "--dry-run")
        if result.exit_code == 2:
            assert "S, which no training frame has" in result.stderr
            break
    else:
        pytest.fail("no held-out frame with a strange element was refused")
    assert files.untouched()


def test_data_inspect_says_what_is_there(call, files: Files) -> None:
    result = call("data", "inspect", files.high)
    assert result.exit_code == 0
    for word in ("24", "cc", "eV"):
        assert word in result.stdout


def test_a_potential_that_is_none_is_refused(call, files: Files, tmp_path: Path) -> None:
    result = call("predict", tmp_path / "nothing", files.low, "--out", tmp_path / "p.xyz")
    assert result.exit_code == 2
    assert "nothing" in result.stderr
    assert not (tmp_path / "p.xyz").exists()


def test_compare_and_fit_compare_the_frames_once(call, files: Files) -> None:
    files.edit(files.high, lambda content: content[:-1])  # frames that no other test has
    known = "note: 47 frames were compared with each other by an earlier command."
    words = [*files.compare(), "--dry-run"]
    first = call(*words)
    assert first.exit_code == 0, first.stderr
    assert known not in first.stdout
    fitted = call(*files.fit("transfer"), "--tuned", files.settings)  # stops before it trains
    assert fitted.exit_code == 2
    assert known in fitted.stderr, fitted.stderr
    again = call(*words)
    assert [line for line in again.stdout.splitlines() if line != known] == first.stdout.splitlines()
    assert known in again.stdout
