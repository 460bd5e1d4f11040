"""A core, an arm, an observable and a task from outside are trained, measured, tabulated, drawn and paged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.plugin.conftest import Command

ARMS = ["single_fidelity", "joint_then_high", "multi_fidelity", "transfer_replay"]
PLAN: dict[str, Any] = {
    "task": "morse_water",
    "arms": ARMS,
    "core": ["symmetry_functions", "equivariant"],
    "regimes": {"n_low": [32], "n_high": [12], "labels": ["low=EF,high=EF"], "coverage": ["full"]},
    "repeats": 2,
    "budget": {"atom_gradients": 4000},
    "settings": {"training": {"learning_rate": 0.01, "batch_frames": 8}},
    "observables": {"conservation": {"frames": 3}},
}


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preset") / "outside.yml"
    path.write_text(yaml.safe_dump({"name": "outside", "tasks": [PLAN]}))
    return path


@pytest.fixture(scope="module")
def runs(mfbench: Command, preset: Path) -> Path:
    out = preset.parent / "runs"
    said = mfbench("run", preset, "--out", out, "--workers", 1)
    assert "multi_fidelity" in said.stdout  # left out on the core that lacks the conditioning, with the reason
    assert "one_hot" in said.stdout
    return out


@pytest.fixture(scope="module")
def rows(mfbench: Command, runs: Path) -> pd.DataFrame:
    path = runs.parent / "rows.csv.gz"
    mfbench("export", runs, path)
    return pd.read_csv(path)


def test_they_are_listed(mfbench: Command) -> None:
    wanted = {
        "arms": "joint_then_high",
        "tasks": "morse_water",
        "cores": "symmetry_functions",
        "observables": "conservation",
    }
    for kind, name in wanted.items():
        assert name in mfbench("list", kind).stdout


def test_a_plan_says_which_arm_a_core_cannot_have(mfbench: Command, preset: Path) -> None:
    said = mfbench("plan", preset).stdout
    assert "multi_fidelity" in said
    assert "one_hot" in said


def test_each_arm_is_trained_on_each_core_that_it_can_have(rows: pd.DataFrame) -> None:
    assert set(rows["status"]) == {"finished"}
    cores = {str(core).partition(" ")[0] for core in rows["core"]}
    assert cores == {"symmetry_functions", "equivariant"}
    on = {core: set(part["arm"]) for core, part in rows.groupby(rows["core"].str.partition(" ")[0])}
    assert on["equivariant"] == set(ARMS)
    assert on["symmetry_functions"] == set(ARMS) - {"multi_fidelity"}


def test_the_observable_is_measured(rows: pd.DataFrame) -> None:
    found = rows[rows["metric"] == "conservation_error_mev_per_A"]
    assert found["run_key"].nunique() == rows["run_key"].nunique()
    assert (found["unit"] == "meV/Å").all()
    assert (found["n"] == 3).all()
    # float32 energies of 0.01 Å apart: rounding alone is some meV/Å
    assert found["value"].between(0.0, 50.0).all()


@pytest.mark.parametrize("kind", ["md", "csv", "json", "tex"])
def test_tables_have_all_of_them(kind: str, mfbench: Command, runs: Path) -> None:
    said = mfbench("report", runs, "--format", kind).stdout
    text = said.replace(r"\_", "_")
    for name in ("morse_water", "joint_then_high", "symmetry_functions"):
        assert name in text, name
    if kind in ("md", "tex"):
        assert "Forces against energies" in text
        assert "random directions" in text
    else:
        assert "conservation_error_mev_per_A" in text
    if kind == "json":
        records = json.loads(said)
        assert records


def test_the_page_shows_them(mfbench: Command, runs: Path) -> None:
    page = runs.parent / "page.html"
    mfbench("report", runs, "--format", "html", "--out", page)
    text = page.read_text(encoding="utf-8")
    for name in ("joint_then_high", "Forces against energies", "symmetry_functions", "#7A5195"):
        assert name in text, name


def test_figures_are_drawn(mfbench: Command, runs: Path) -> None:
    folder = runs.parent / "figures"
    mfbench("figures", runs, "--out", folder)
    drawn = sorted(folder.rglob("conservation-*.png"))
    assert drawn
    assert all(path.stat().st_size > 5000 for path in drawn)


def test_rows_can_be_reported_without_the_distribution(rows: pd.DataFrame, runs: Path) -> None:
    from mfbench.benchmarks.harness.rows_file import read_rows
    from mfbench.benchmarks.reports import Results, report

    text = report(Results(read_rows(runs.parent / "rows.csv.gz")))
    assert "joint_then_high" in text


def test_a_run_again_computes_nothing(mfbench: Command, preset: Path, runs: Path) -> None:
    assert "0 to compute" in mfbench("run", preset, "--out", runs, "--workers", 1).stdout
