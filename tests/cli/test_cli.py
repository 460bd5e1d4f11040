from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mfbench.benchmarks.cli.main import app

COMMANDS = [
    ["list"],
    ["run"],
    ["plan"],
    ["tune"],
    ["report"],
    ["figures"],
    ["export"],
    ["export-model"],
    ["regress"],
    ["compare"],
    ["fit"],
    ["predict"],
    ["discover"],
    ["measure"],
    ["score-discovery"],
    ["info"],
    ["data", "inspect"],
    ["data", "fetch"],
    ["data", "verify"],
    ["data", "generate"],
]


def preset(folder: Path, arms: list[str], **plan: object) -> Path:
    regimes = {"n_low": [10], "n_high": [6, 9], "coverage": ["full"]}
    values = {"task": "fake_task", "arms": arms, "budget": {"atom_gradients": 100}, "regimes": regimes} | plan
    path = folder / "mine.yml"
    path.write_text(json.dumps({"name": "mine", "tasks": [values]}))
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example(call, command: list[str]) -> None:
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\s+mfbench {' '.join(command)}", result.stdout)


def test_no_command_is_left_out_of_the_test_above(call) -> None:
    import typer.main

    root = typer.main.get_command(app)
    groups = {name for name, command in root.commands.items() if hasattr(command, "commands")}
    found = [[name] for name in root.commands if name not in groups]
    found += [[group, name] for group in groups for name in root.commands[group].commands]
    assert sorted(found) == sorted(COMMANDS)


def test_the_lists_name_what_is_registered(call, fakes: Path) -> None:
    arms = call("list", "arms").stdout
    assert "least squares of HF energies on the composition" in arms
    assert "multi_fidelity" in arms
    assert "fake_task" in call("list", "tasks").stdout
    assert {"quick", "standard"} <= set(call("list", "presets").stdout.split())


def test_run_computes_once(call, fakes: Path, tmp_path: Path) -> None:
    path, out = preset(tmp_path, ["fake_mean"]), tmp_path / "out"
    first = call("run", path, "--out", out, "--workers", 1)
    assert first.exit_code == 0
    assert "2 runs: 0 stored, 2 to compute in about" in first.stdout
    second = call("run", path, "--out", out)
    assert second.exit_code == 0
    assert "2 runs: 2 stored, 0 to compute." in second.stdout


def test_reports_and_figures_are_made_of_stored_runs(call, fakes: Path, tmp_path: Path) -> None:
    path, out = preset(tmp_path, ["fake_mean"], settings={"shift": 0.25}), tmp_path / "out"
    assert call("run", path, "--out", out, "--workers", 1).exit_code == 0
    for format, value in (("text", "250"), ("md", "250"), ("csv", "250"), ("json", "250")):
        result = call("report", out, "--format", format)
        assert result.exit_code == 0
        assert "fake_mean" in result.stdout
        assert value in result.stdout
    result = call("figures", out)
    assert result.exit_code == 0
    made = [Path(line) for line in result.stdout.split()]
    assert {file.suffix for file in made} == {".pdf", ".svg", ".png"}
    assert all(file.parent == out / "figures" and file.stat().st_size > 0 for file in made)


def test_a_dry_run_writes_nothing(call, fakes: Path, tmp_path: Path) -> None:
    result = call("run", preset(tmp_path, ["fake_mean"]), "--out", tmp_path / "out", "--dry-run", "--n-high", 6)
    assert result.exit_code == 0
    assert "1 runs" in result.stdout
    assert "fake_task fake_mean n_low=10 n_high=6" in result.stdout
    assert not (tmp_path / "out").exists()


def test_a_failed_run_gives_its_reason_and_exit_code_1(call, fakes: Path, tmp_path: Path) -> None:
    path, out = preset(tmp_path, ["fake_mean", "fake_failing"]), tmp_path / "out"
    result = call("run", path, "--out", out, "--n-high", 9, "--workers", 1)
    assert result.exit_code == 1
    assert "the moon was in the wrong place" in result.stdout
    again = call("run", path, "--out", out, "--n-high", 9)
    assert again.exit_code == 1
    assert "1 failed before" in again.stdout
    assert "--retry-failed" in again.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "qick"], "no preset 'qick'"),
        (["run", "quick", "--arm", "jiont"], "no arm 'jiont'"),
        (["run", "quick", "--task", "wine"], "no task 'wine'"),
        (["report", "nowhere"], "nowhere"),
        (["figures", "nowhere"], "nowhere"),
        (["data", "inspect", "nowhere.xyz"], "nowhere.xyz"),
        (["data", "verify", "wine"], "wine"),
        (["data", "fetch", "wine"], "wine"),
        (["data", "generate", "h2co", "--out", "x"], "no generator"),
    ],
)
def test_an_error_is_one_message_on_stderr(call, tmp_path: Path, monkeypatch, words: list[str], told: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_test_frame_in_the_training_set_stops_everything(call, fakes: Path, tmp_path: Path) -> None:
    path = preset(tmp_path, ["fake_mean"], task="leaky_task")
    result = call("run", path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "'copy' is 's0-0'" in result.stderr
    assert not (tmp_path / "out").exists()
    assert fakes.read_text() == ""


def test_a_wrong_size_is_refused(call) -> None:
    result = call("run", "quick", "--n-high", "some")
    assert result.exit_code == 2
    assert "expected a positive number, or all" in result.stderr


def test_the_embedded_data_is_what_its_card_says(call) -> None:
    result = call("data", "verify", "molecular_cc")
    assert result.exit_code == 0
    assert "molecular_cc: split without leakage: right" in result.stdout
    assert "wrong" not in result.stdout
