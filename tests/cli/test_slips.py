"""Slips in options and files of the user's own: each is one sentence that names it, and an exit code that tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

from mfbench.benchmarks.tasks.user import UserTask
from mfbench.benchmarks.tasks.user_levels import level_notes
from mfbench.mfcore.errors import DataError
from tests.cli.test_own_files import Files, frames


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--budget", "1e30"], "--budget"),
        (["--budget", "nan"], "--budget"),
        (["--low", "HIGH"], "is given for two levels, with the same labels 'cc'"),
        (["--low", "COPY"], "are the same in all 24 frames that have both"),
    ],
)
def test_slips_of_a_comparison_are_refused(call, files: Files, change, words) -> None:
    copy = files.low.with_name("copy.xyz")
    write(copy, [_renamed(a) for a in read(files.high, ":")])
    places = {"HIGH": files.high, "COPY": copy}
    result = call("compare", "--low", files.low, "--high", files.high, *(places.get(c, c) for c in change), "--dry-run")
    assert result.exit_code == 2
    assert words in result.stderr


def _renamed(atoms: Atoms) -> Atoms:
    atoms.info["dft_energy"] = atoms.info.pop("cc_energy")
    atoms.arrays["dft_forces"] = atoms.arrays.pop("cc_forces")
    return atoms


def _plain(atoms: Atoms) -> Atoms:
    atoms.info["REF_energy"] = atoms.info.pop("cc_energy")
    atoms.arrays["REF_forces"] = atoms.arrays.pop("cc_forces")
    return atoms


def test_one_file_with_labels_of_two_levels_is_no_slip(files: Files) -> None:
    both = read(files.high, ":")
    for atoms in both:
        atoms.info["dft_energy"] = atoms.info["cc_energy"] + 0.1 * np.linalg.norm(atoms.positions[1])
    write(files.high, both)
    task = UserTask(files.high, files.high, low_name="dft", high_name="cc")
    assert task.fidelities == ("dft", "cc")


def test_gaps_and_sizes_that_look_swapped_are_said(call, files: Files) -> None:
    files.edit(files.low, lambda content: content[:16])

    def bare(content: list[Atoms]) -> None:
        for atoms in content[:5]:
            del atoms.arrays["cc_forces"]

    files.edit(files.high, bare)
    result = call(*files.compare(), "--dry-run")
    assert "cc: 5 frames with an energy and no forces" in result.stdout
    assert "'cc', the target, has 24 frames and 'dft' 16" in result.stdout


def test_a_fit_that_is_stopped_while_it_measures_has_stored_nothing(call, files: Files, monkeypatch) -> None:
    def stopped(*parts: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mfbench.benchmarks.harness.timing.measure", stopped)
    result = call(*files.fit()[:-2], "--time", "1h")
    assert result.exit_code == 130
    assert "Nothing was trained yet" in result.stderr
    assert "is stored" not in result.stderr
    assert files.untouched()


@pytest.mark.parametrize("name", ["all", "predicted"])
def test_names_that_mean_something_else_are_no_levels(call, files: Files, name) -> None:
    result = call("compare", "--level", f"{name}={files.low}", "--level", f"cc={files.high}", "--dry-run")
    assert result.exit_code == 2
    assert f"'{name}' is no name for a level" in result.stderr


def test_a_place_that_no_file_can_be_made_in_is_not_taken_for_locked(call, files: Files) -> None:
    command = files.fit()
    command[command.index("--out") + 1] = "/proc/model"
    result = call(*command)
    assert result.exit_code == 3
    assert "another mfbench" not in result.stderr


def test_keys_with_the_level_at_the_end_are_listed(call, files: Files, tmp_path: Path) -> None:
    odd = frames(24, "high", "x", 2)
    for atoms in odd:
        atoms.info["energy_b3lyp"] = atoms.info.pop("x_energy")
        del atoms.arrays["x_forces"]
    write(tmp_path / "odd.xyz", odd)
    result = call("compare", "--low", files.low, "--high", tmp_path / "odd.xyz", "--dry-run")
    assert result.exit_code == 2
    assert "No energy is known by its key; there are energy_b3lyp" in result.stderr
    assert "--energy-key" in result.stderr
    bare = call("data", "inspect", tmp_path / "odd.xyz")
    assert bare.exit_code == 2
    assert "nothing can be trained on it" in bare.stdout


def test_json_of_another_layout_is_told_which_ones_work(call, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps([{"structure": {"@class": "Structure"}, "energy": -1.0}]))
    result = call("data", "inspect", tmp_path / "list.json")
    assert result.exit_code == 2
    assert "as_dict()" in result.stderr


def test_a_prediction_over_its_input_or_into_a_picture_is_refused(call, files: Files, tmp_path: Path) -> None:
    before = files.high.read_bytes()
    for out, words in ((files.high, "the file that is read"), (tmp_path / "p.png", "ends with .xyz")):
        result = call("predict", tmp_path / "model", files.high, "--out", out)
        assert result.exit_code == 2
        assert words in result.stderr
    assert files.high.read_bytes() == before
    assert not (tmp_path / "p.png").exists()


def test_a_file_in_the_place_of_runs_is_refused_in_a_dry_run(call, fakes, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = call("run", "quick", "--out", tmp_path / "taken", "--dry-run")
    assert result.exit_code == 3
    assert "a file is in the place of a folder" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"), [(["--n-high", "7"], "has no n_high 7; its numbers of HF frames are 100, 30")]
)
def test_sizes_that_a_preset_lacks_are_refused(call, options, words) -> None:
    result = call("run", "quick", *options, "--dry-run")
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        (
            "name: p\ntasks: [{task: h2co, arms: [], budget: {atom_gradients: 9}}]",
            "tasks.0.arms: expected names of arms",
        ),
        (
            "name: p\ntasks: [{task: molecular_cc, arms: [single_fidelity], budget: {atom_gradients: 9}, "
            "settings: {core: {channels: -1}}}]",
            "preset 'p' (PATH), task 'molecular_cc': settings of single_fidelity, key 'core.channels': core "
            "'equivariant': Input should be greater than or equal to 1 (found -1)",
        ),
        (
            "name: p\ntasks: [{task: molecular_cc, arms: [single_fidelity], budget: {atom_gradients: 9}, "
            "settings: {training: {learning_rate: fast}}}]",
            "preset 'p' (PATH), task 'molecular_cc': settings of single_fidelity, key 'training.learning_rate': "
            "Input should be a valid number, unable to parse string as a number (found 'fast').",
        ),
        (
            "name: p\ntasks: [{task: molecular_cc, arms: [single_fidelity], budget: {atom_gradients: 9}, "
            "settings: {training: {lr: 0.1}}}]",
            "settings of single_fidelity, key 'training.lr': unknown key; expected one of ",
        ),
        (
            "name: p\ntasks: [{task: molecular_cc, arms: [single_fidelity], budget: {atom_gradients: 9}, "
            "regimes: {n_high: [25]}, settings: {core: {channels: 16}}, core: [equivariant, {channels: 16}]}]",
            "preset 'p' (PATH), task 'molecular_cc', key 'core': 'equivariant' and 'equivariant(channels=16)' are one "
            "network with the same settings",
        ),
        (
            "name: p\ntasks: [{task: molecular_cc, arms: [single_fidelity], budget: {atom_gradients: 9}, "
            "regimes: {n_high: [25, 26]}, draws: [0], observables: {mixing: {}}}]",
            "preset 'p' (PATH), task 'molecular_cc', key 'observables.mixing': ",
        ),
    ],
)
def test_faults_of_a_preset_name_it_and_the_key(call, tmp_path: Path, content, words) -> None:
    (tmp_path / "p.yml").write_text(content)
    result = call("run", tmp_path / "p.yml", "--dry-run", "--out", tmp_path / "runs")
    assert result.exit_code == 2
    assert words.replace("PATH", str(tmp_path / "p.yml")) in result.stderr.replace("\n", " ")


def test_labels_that_agree_in_a_few_frames_only_are_let_be(files: Files) -> None:
    def equal(content: list[Atoms]) -> list[Atoms]:
        return [*content[:-2], *(_renamed(a) for a in read(files.high, ":2"))]

    files.edit(files.low, equal)
    task = UserTask(files.low, files.high)
    assert len(task.frames) == 46
    plain = files.low.with_name("plain.xyz")
    write(plain, [_plain(a) for a in read(files.high, ":")])
    with pytest.raises(DataError, match="one file, with one set of labels, is given for two levels"):
        UserTask(plain, plain)


def test_levels_without_gaps_have_no_notes(files: Files) -> None:
    assert level_notes(UserTask(files.low, files.high)._read()[0]) == []


def test_faults_of_settings_name_their_file(call, files: Files) -> None:
    files.settings.write_text('{"core": {"lmax": "one"}}')
    for words in (files.fit(), files.compare()):
        result = call(*words)
        assert result.exit_code == 2
        assert f"{files.settings}: settings of " in result.stderr
        assert "key 'core.lmax': " in result.stderr
        assert "(found 'one')" in result.stderr
