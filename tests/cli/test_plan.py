"""`mfbench plan`: what is said before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_cli import preset


def test_a_plan_is_a_table_of_regimes_and_one_line(call, fakes: Path, tmp_path: Path) -> None:
    path, out = preset(tmp_path, ["fake_mean", "fake_all"], seeds=[0, 1, 2]), tmp_path / "out"
    result = call("plan", path, "--out", out, "--workers", 3)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "fake_task, n_low 10, labels low=EF,high=E, pairing disjoint, coverage full, E0 default"
    sizes = [line.split()[:5] for line in lines[:-1] if line.split()[:1] in (["6"], ["9"], ["all"])]
    assert sizes == [["6", "1", "3", "0", "3"], ["9", "1", "3", "0", "3"], ["all", "1", "3", "0", "3"]]
    assert "n_high 6, 9: fake_mean; draws 0, seeds 0 to 2; 100 atom gradients each" in result.stdout
    assert "9 runs: 0 stored, 9 to compute in about 1 s on 3 processes (a first guess)" in lines[-1]
    assert "labels 1 CPU-h" in lines[-1]  # 36 HF labels of 100 CPU-s
    assert not out.exists()


def test_run_says_the_same_line(call, fakes: Path, tmp_path: Path) -> None:
    words = (preset(tmp_path, ["fake_mean"]), "--out", tmp_path / "out", "--workers", 1)
    line = call("plan", *words).stdout.splitlines()[-1]
    assert line == call("run", *words, "--dry-run").stdout.splitlines()[0]
    assert call("run", *words).stdout.splitlines()[0] == line
    after = json.loads(call("plan", *words, "--format", "json").stdout)
    assert (after["runs"], after["stored"], after["spending"]["runs"]) == (2, 2, 0)
    assert after["label_cost_cpu_s"] == 1500.0
    assert "2 runs: 2 stored, 0 to compute." in call("plan", *words).stdout


def test_the_same_selection_as_of_run(call, fakes: Path, tmp_path: Path) -> None:
    labels = {"n_low": [10], "n_high": [6, 9], "coverage": ["full"], "labels": ["low=EF,high=E", "low=E,high=E"]}
    path = preset(tmp_path, ["fake_mean"], regimes=labels, seeds=[0, 1])
    words = ("--n-high", 9, "--labels", "high=E,low=E", "--seed", 1, "--out", tmp_path / "out")
    (regime,) = json.loads(call("plan", path, *words, "--format", "json").stdout)["regimes"]
    assert (regime["regime"]["labels"], regime["regime"]["n_high"], regime["runs"]) == ("low=E,high=E", 9, 1)
    assert regime["budgets"] == [{"rule": "equal-compute", "atom_gradients": 100.0, "patience": None}]
    assert "1 runs: 0 stored" in call("run", path, *words, "--dry-run").stdout


def test_a_converged_budget_is_a_cap(call, fakes: Path, tmp_path: Path) -> None:
    budget = {"rule": "converged", "atom_gradients": 100, "patience": 5}
    result = call("plan", preset(tmp_path, ["fake_mean"], budget=budget), "--out", tmp_path / "out")
    assert "up to 100 atom gradients, patience 5 each" in result.stdout
