"""An observable of another package is measured, stored, tabulated, drawn and paged with nothing changed here."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import call, fakes

__all__ = ["call", "fakes"]


@pytest.fixture
def runs(call, fakes: Path, tmp_path: Path) -> Path:
    plan = {
        "task": "fake_task",
        "arms": ["fake_mean"],
        "regimes": {"n_low": [10], "n_high": [9], "coverage": ["full"]},
        "budget": {"atom_gradients": 1000},
        "settings": {"shift": -0.25},
        "observables": {"fake_bias": {"most": 5}},
    }
    preset = tmp_path / "mine.yml"
    preset.write_text(json.dumps({"name": "mine", "tasks": [plan]}))
    out = tmp_path / "runs"
    done = call("run", preset, "--out", out, "--workers", 1)
    assert done.exit_code == 0, done.output
    return out


def test_it_reaches_rows_tables_details_figures_and_the_page(call, runs: Path, tmp_path: Path) -> None:
    text = call("report", runs).stdout
    assert "signed errors" in text
    assert "bias: mean of predicted less labelled energies." in text
    assert "-250" in text
    assert "worst" in text
    assert "bias_mev_per_atom" in call("report", runs, "--format", "csv").stdout
    assert call("figures", runs, "--only", "bias", "--format", "svg", "--out", tmp_path / "figures").exit_code == 0
    assert [path.suffix for path in (tmp_path / "figures").iterdir()] == [".svg"]
    page = tmp_path / "page.html"
    assert call("report", runs, "--format", "html", "--out", page).exit_code == 0
    assert "Signed errors" in page.read_text(encoding="utf-8")
    kept = tmp_path / "kept" / "rows.csv.gz"
    kept.parent.mkdir()
    assert call("export", runs, kept).exit_code == 0
    table = pd.read_csv(kept.parent / "biases.csv.gz")
    assert table["error_mev_per_atom"].tolist() == pytest.approx([-250.0] * 5)
    assert call("report", kept).stdout.count("-250") == text.count("-250")


def test_it_is_listed_with_the_others(call, fakes: Path) -> None:
    listed = call("list", "observables").stdout
    assert "mean signed error of energies" in listed
    assert [line.split()[0] for line in listed.splitlines()[2:]] == [
        *("errors", "stability", "transport", "mixing", "hull", "elastic", "conformers", "barriers", "fake_bias")
    ]


def test_a_plan_or_task_that_cannot_be_is_refused_before_anything_runs(call, fakes: Path, tmp_path: Path) -> None:
    preset, out = tmp_path / "mine.yml", tmp_path / "runs"
    plan = {"task": "leaky_task", "budget": {"atom_gradients": 1}, "arms": ["fake_mean"]}
    for observables, reason in (
        ({"fake_bias": {"most": 0}}, "mine.yml: tasks.0.observables.fake_bias.most: Input should be greater"),
        ({"fake_base": {}}, "mine.yml: tasks.0.observables: no observable 'fake_base': known are errors,"),
    ):
        preset.write_text(json.dumps({"name": "mine", "tasks": [plan | {"observables": observables}]}))
        refused = call("run", preset, "--out", out)
        assert refused.exit_code == 2
        assert reason in refused.stderr
        assert not out.exists()
