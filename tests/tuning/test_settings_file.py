"""Tuned settings: from the command to a file, from the file into runs, with the trials booked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.harness.executors.factory import make_executor
from mfbench.benchmarks.harness.plan import expand
from mfbench.benchmarks.harness.prepare import prepare
from mfbench.benchmarks.harness.presets import load_preset
from mfbench.benchmarks.harness.runner import run_all
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.tuning.settings_file import load_tuned, tuned_names
from mfbench.mfcore.errors import ConfigError, DataError
from tests.harness.conftest import PLUGIN
from tests.harness.test_runner import ROOT, Notes

pytest.importorskip("optuna", reason="Optuna is not installed (extra 'tune')")

PLAN = {
    "task": "fake_task",
    "arms": ["fake_mean", "fake_steps"],
    "budget": {"atom_gradients": 1000},
    "regimes": {"n_low": [10], "n_high": [9], "coverage": ["full"]},
    "settings": {"shift": 0.5, "pause_s": 0.0},
}


def write_preset(folder: Path, **changes: object) -> Path:
    path = folder / "mine.yml"
    path.write_text(json.dumps({"name": "mine", "tasks": [PLAN | changes]}))
    (folder / "space.yml").write_text("all:\n  shift: {low: -1.0, high: 1.0}\n")
    return path


def tune(folder: Path, preset: Path, *more: str, trials: int = 3):
    words = ["tune", preset, "--space", folder / "space.yml", "--trials", trials, "--runs", folder / "trials"]
    words += ["--out", folder / "tuned.yml", "--workers", 1, "--budget-share", 1.0, *more]
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def runs(preset: Path, arms: tuple[str, ...] = ("fake_mean", "fake_steps")) -> list:
    return expand(load_preset(str(preset)), tasks=["fake_task"], arms=list(arms), needs_all_high=lambda _: False)


@pytest.fixture(autouse=True)
def workers_find_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), str(ROOT)]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it lets the command run; the others get copies."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def tuned(fakes: Path, made: Path, tmp_path: Path) -> Path:
    if not (made / "tuned.yml").exists():
        result = tune(made, write_preset(made))
        assert result.exit_code == 0, result.stderr
        assert "The search of an arm costs 3 times the budget of a run." in result.stdout
        assert "2 arms x 3 trials at 1 of a budget of 1,000 atom gradients" in result.stdout
        assert "fake_mean trial 3/3, 1 of the budget: validation loss" in result.stdout
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tuned.yml"


def test_a_file_says_where_its_settings_come_from(tuned: Path) -> None:
    content = yaml.safe_load(tuned.read_text())
    origin = content["provenance"]
    assert (origin["seed"], origin["draw"], origin["sampler"], origin["sampler_seed"]) == (0, 0, "tpe", 0)
    assert origin["atom_gradients"] == {"fake_mean": 1000.0, "fake_steps": 1000.0}
    assert origin["rungs"] == [{"share": 1.0, "trials": 3}]
    assert (origin["n_validation"], origin["rule"], origin["data"]) == (6, "equal-compute", {"fakes": "0" * 64})
    assert origin["command"].startswith("mfbench")
    for arm in content["arms"].values():
        assert (arm["trials"], arm["failed"], arm["atom_gradients"], len(arm["losses"])) == (3, 0, 3000.0, 3)
        assert arm["validation_loss"] == min(arm["losses"]) <= arm["first_validation_loss"] == arm["losses"][0]
        assert arm["validation_loss"] == pytest.approx(10 * arm["settings"]["shift"] ** 2)


def test_runs_take_tuned_settings_and_book_the_trials(tuned: Path, tmp_path: Path) -> None:
    best = load_tuned(str(tuned), "fake_task").arms["fake_mean"].settings["shift"]
    preset = write_preset(tmp_path, tuned="tuned.yml", arms=["fake_mean"])  # beside the preset, wherever this runs
    planned = prepare(runs(preset))
    assert [run.settings["shift"] for run in planned] == [best]
    store = RunStore(tmp_path / "out")
    run_all(planned, planned, store, Notes(), make_executor(0))
    record = store.load(planned[0].key).record
    assert (record["ledger"]["trials"], record["ledger"]["trial_atom_gradients"]) == (3, 3000.0)
    assert planned[0].key != prepare(runs(write_preset(tmp_path, settings={"shift": best}, arms=["fake_mean"])))[0].key


def test_the_same_command_repeats_no_trial(tuned: Path, fakes: Path, tmp_path: Path) -> None:
    before, files = tuned.read_text(), sorted((tmp_path / "trials" / "trials").iterdir())
    times = [path.stat().st_mtime_ns for path in files]
    assert len(files) == 2 * 3
    assert tune(tmp_path, tmp_path / "mine.yml").exit_code == 0
    assert [path.stat().st_mtime_ns for path in files] == times
    assert yaml.safe_load(tuned.read_text())["arms"] == yaml.safe_load(before)["arms"]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda c: c["arms"].pop("fake_steps"), "arm 'fake_steps' was not tuned"),
        (lambda c: c.update(task="salt"), "tuned on task 'salt'"),
        (lambda c: c["arms"]["fake_steps"].update(trials=9), "different numbers of trials"),
        (lambda c: c["arms"]["fake_steps"].update(trails=9), "arms.fake_steps.trails"),
        (lambda c: c["provenance"]["data"].update(fakes="1" * 64), "tuned on other data"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tuned: Path, tmp_path: Path, edit, told: str) -> None:
    content = yaml.safe_load(tuned.read_text())
    edit(content)
    content["sha256"] = "edited"
    tuned.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=rf"tuned\.yml.*{told}"):
        prepare(runs(write_preset(tmp_path, tuned=str(tuned))))


def test_a_change_is_refused_unless_the_file_says_that_it_is_meant(tuned: Path) -> None:
    content = yaml.safe_load(tuned.read_text())
    assert next(iter(content)) == "sha256"
    content["arms"]["fake_mean"]["settings"]["shift"] = 0.125
    tuned.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(DataError, match=r"tuned\.yml, key 'sha256': .* was changed since it was written"):
        load_tuned(str(tuned), "fake_task")
    tuned.write_text(yaml.safe_dump(content | {"sha256": "edited"}))
    assert load_tuned(str(tuned), "fake_task").arms["fake_mean"].settings["shift"] == 0.125
    del content["sha256"]
    tuned.write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match="lacks this key"):
        load_tuned(str(tuned), "fake_task")


def test_a_setting_cannot_be_both_tuned_and_given(tuned: Path, tmp_path: Path) -> None:
    preset = write_preset(tmp_path, tuned=str(tuned), arm_settings={"fake_mean": {"shift": 0.1}})
    with pytest.raises(ConfigError, match=r"arm_settings\.fake_mean\.shift"):
        runs(preset)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tuned 'nowhere\.yml': no such file"):
        runs(write_preset(tmp_path, tuned="nowhere.yml"))


@pytest.mark.parametrize("name", tuned_names())
def test_the_settings_that_come_along_are_valid(name: str) -> None:
    assert load_tuned(name, name).arms


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"regimes": {"n_low": [10], "n_high": [6, 9], "coverage": ["full"]}}, "choose one: --n-high 6 or 9"),
        ({"regimes": {"n_low": [10], "n_high": [9], "coverage": ["full"], "e0": ["default", "isolated"]}}, "--e0"),
        ({"core": ["equivariant", {"channels": 8}]}, "choose one: --core equivariant or equivariant(channels=8)"),
    ],
)
def test_one_regime_is_tuned_on(fakes: Path, tmp_path: Path, changes: dict[str, object], told: str) -> None:
    result = tune(tmp_path, write_preset(tmp_path, **changes))
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_stopped_command_goes_on_where_it_was(fakes: Path, tmp_path: Path) -> None:
    """Ctrl-C in the second trial: the first is not repeated, the second goes on from its checkpoint."""
    preset = write_preset(tmp_path, arms=["fake_steps"], settings={"shift": 0.5, "pause_s": 0.3, "steps": 6})
    words = ["tune", preset, "--space", tmp_path / "space.yml", "--trials", 2, "--runs", tmp_path / "trials"]
    words += ["--out", tmp_path / "tuned.yml", "--workers", 1, "--budget-share", 1.0]
    process = subprocess.Popen(
        [sys.executable, "-m", "mfbench.benchmarks.cli.main", *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a command that a shell started in the background is deaf to Ctrl-C, and so would be what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while len(fakes.read_text().split()) < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in stderr
    assert not (tmp_path / "tuned.yml").exists()
    assert tune(tmp_path, preset, trials=2).exit_code == 0
    steps = [int(step) for step in fakes.read_text().split()]
    assert steps[:6] == list(range(6))
    assert 6 <= len(steps) - 6 <= 7  # at most the step that was cut off is taken again
    assert not (tmp_path / "trials" / "work").exists()
