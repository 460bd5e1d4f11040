"""From stored runs to verdicts, by the command, with arms whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfbench.benchmarks.harness.executors.factory import make_executor
from mfbench.benchmarks.harness.plan import RunSpec, expand, load_preset
from mfbench.benchmarks.harness.prepare import prepare, prepare_one
from mfbench.benchmarks.harness.runner import Monitor, run_all
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.observables.stability.observable import StabilityPlan
from mfbench.benchmarks.regression.baseline import read_baseline, write_baseline
from mfbench.benchmarks.regression.identity import benchmark_hash
from mfbench.benchmarks.regression.measure import measure
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.sealed import SEAL, write_sealed
from tests.cli.conftest import call, fakes
from tests.harness.conftest import spec
from tests.regression.made import baseline, values

__all__ = ["call", "fakes"]


class Silent(Monitor):
    pass


def preset(folder: Path, name: str = "mine", **plan: object) -> Path:
    values = {
        "task": "fake_task",
        "arms": ["fake_mean", "fake_all"],
        "budget": {"atom_gradients": 100},
        "regimes": {"n_low": [10], "n_high": [6], "coverage": ["full"]},
        "seeds": [0, 1, 2],
        "settings": {"steps": 0},
    }
    path = folder / f"{name}.yml"
    path.write_text(json.dumps({"name": "mine", "tasks": [values | plan]}))
    return path


def compute(path: Path, out: Path) -> None:
    from mfbench.strategies.registry import arm_class

    specs = expand(
        load_preset(str(path)),
        tasks=["fake_task"],
        arms=["fake_mean", "fake_all", "fake_failing"],
        needs_all_high=lambda name: arm_class(name).needs_all_high,
    )
    planned = prepare(specs)
    run_all(planned, planned, RunStore(out), Silent(), make_executor(0))


@pytest.fixture
def error_of_arms(fakes: Path, monkeypatch: pytest.MonkeyPatch):
    """Set the error in meV/atom that every arm then has, as an edit of its code would."""
    from mfbench_fakes import FakeMean

    original = FakeMean.fit

    def set_error(value: float) -> None:
        def fit(self, *args, **kwargs):
            potential = original(self, *args, **kwargs)
            potential.energies = potential.energies + value * 1e-3
            return potential

        monkeypatch.setattr(FakeMean, "fit", fit)

    set_error(10.0)
    return set_error


def test_a_baseline_is_made_kept_to_and_missed(call, error_of_arms, tmp_path: Path) -> None:
    mine, file, notes = preset(tmp_path), tmp_path / "b" / "mine.json", tmp_path / "summary.md"
    compute(mine, tmp_path / "old")
    words = ["--preset", mine, "--baseline", file]
    made = call("regress", tmp_path / "old", *words, "--update")
    assert made.exit_code == 0, made.output
    assert "numbers of 3 seeds" in made.stdout
    same = call("regress", tmp_path / "old", *words, "--details", "--summary", notes)
    assert same.exit_code == 0
    assert "No regression" in same.stdout
    assert "identical" in same.stdout

    error_of_arms(11.0)
    compute(mine, tmp_path / "new")
    worse = call("regress", tmp_path / "new", *words, "--format", "json", "--summary", notes)
    assert worse.exit_code == 1
    found = json.loads(worse.stdout)
    assert found["failed"]
    changes = {f["verdict"]: f["change"] for f in found["findings"] if f["metric"] == "energy_mae_mev_per_atom"}
    assert changes == {"worse": pytest.approx(0.1)}
    assert {f["verdict"] for f in found["findings"] if f["group"] == "cost"} == {"same"}
    headings = [line for line in notes.read_text().splitlines() if line.startswith("### ")]
    assert [line.split(":")[0] for line in headings] == ["### No regression", "### Regression"]
    assert "| **worse** | all arms | energy_mae_mev_per_atom |" in notes.read_text()

    accepted = call("regress", tmp_path / "new", *words, "--update", "--trend", tmp_path / "trend.png")
    assert accepted.exit_code == 0
    assert call("regress", tmp_path / "new", *words).exit_code == 0
    assert call("regress", tmp_path / "old", *words).exit_code == 0, "what was the baseline is now better"
    lines = [json.loads(line) for line in (tmp_path / "b" / "mine.history.jsonl").read_text().splitlines()[1:]]
    key = "fake_task|n_low=10 n_high=6 low=EF,high=E disjoint full|fake_mean|in_coverage|energy_mae_mev_per_atom"
    assert [line["metrics"][key] for line in lines] == [pytest.approx(10.0), pytest.approx(11.0)]
    assert (tmp_path / "trend.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_other_code_are_not_judged(call, error_of_arms, tmp_path: Path, monkeypatch) -> None:
    mine, file = preset(tmp_path), tmp_path / "mine.json"
    compute(mine, tmp_path / "old")
    assert call("regress", tmp_path / "old", "--preset", mine, "--baseline", file, "--update").exit_code == 0
    monkeypatch.setattr("mfbench.benchmarks.harness.prepare.code_hash", lambda task, arm, core: "edited")
    stale = call("regress", tmp_path / "old", "--preset", mine, "--baseline", file)
    assert stale.exit_code == 1
    assert "6 stored runs are of other code or settings" in stale.stdout


def test_an_edited_preset_is_not_comparable(call, error_of_arms, tmp_path: Path) -> None:
    mine, file = preset(tmp_path), tmp_path / "mine.json"
    compute(mine, tmp_path / "old")
    assert call("regress", tmp_path / "old", "--preset", mine, "--baseline", file, "--update").exit_code == 0
    edited = preset(tmp_path, "edited", budget={"atom_gradients": 200})
    error_of_arms(30.0)
    compute(edited, tmp_path / "new")
    result = call("regress", tmp_path / "new", "--preset", edited, "--baseline", file)
    assert result.exit_code == 1
    assert "nothing is comparable with the baseline (2 not comparable)" in result.stdout
    assert "worse" not in result.stdout


def test_a_changed_baseline_is_refused_unless_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    write_baseline(baseline(values(np.random.default_rng(0), range(3))), path)
    content = json.loads(path.read_text())
    assert next(iter(content)) == "sha256"
    content["cells"][0]["values"]["0/1"] = 3.0
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"base\.json, key 'sha256': the baseline was changed since it was written"):
        read_baseline(path)
    path.write_text(json.dumps(content | {"sha256": "edited"}))
    assert read_baseline(path).cells[0].values["0/1"] == 3.0
    path.write_text(json.dumps(content | {"sha256": "edited"}).replace("3.0", "NaN"))
    with pytest.raises(DataError, match=r"base\.json: not a baseline: a value is NaN"):
        read_baseline(path)


def test_failed_runs_are_missing_and_make_no_baseline(call, error_of_arms, tmp_path: Path) -> None:
    mine, file = preset(tmp_path), tmp_path / "mine.json"
    compute(mine, tmp_path / "old")
    assert call("regress", tmp_path / "old", "--preset", mine, "--baseline", file, "--update").exit_code == 0
    before = file.read_bytes()
    record = next(p for p in (tmp_path / "old" / "runs").glob("*/record.json") if "fake_all" in p.read_text())
    content = json.loads(record.read_text()) | {"status": "failed", "reason": "diverged"}
    del content[SEAL]
    write_sealed(record, content)
    lost = call("regress", tmp_path / "old", "--preset", mine, "--baseline", file)
    assert lost.exit_code == 1
    assert "1 runs failed" in lost.stdout
    refused = call("regress", tmp_path / "old", "--preset", mine, "--baseline", file, "--update")
    assert refused.exit_code == 2
    assert "diverged; a baseline has no failures" in refused.stderr
    assert file.read_bytes() == before


def test_too_few_seeds_make_no_baseline(call, error_of_arms, tmp_path: Path) -> None:
    mine = preset(tmp_path, seeds=[0, 1])
    compute(mine, tmp_path / "old")
    words = ["--preset", mine, "--baseline", tmp_path / "mine.json"]
    refused = call("regress", tmp_path / "old", *words, "--update")
    assert refused.exit_code == 2
    assert "has 2 seeds" in refused.stderr
    absent = call("regress", tmp_path / "old", *words)
    assert absent.exit_code == 2
    assert "no baseline" in absent.stderr
    assert "--update" in absent.stderr


def test_new_seeds_are_measured_too(error_of_arms, tmp_path: Path) -> None:
    mine = preset(tmp_path)
    compute(preset(tmp_path, "more", seeds=[0, 40]), tmp_path / "runs")
    found = measure(tmp_path / "runs", load_preset(str(mine)))
    assert (found.n_runs, found.n_stale) == (4, 0)
    assert {at for by in found.values.values() for at in by} == {(0, 0), (0, 40)}


def test_the_hash_is_of_the_benchmark_not_of_what_is_tracked(fakes: Path, monkeypatch) -> None:
    def hash_of(metric: str = "energy_mae_mev_per_atom", **changes: object) -> str:
        return benchmark_hash(prepare_one(spec(**changes)), metric)

    first = hash_of()
    assert hash_of(seed=5) == first
    assert hash_of(budget=999.0) != first
    assert hash_of(draw=1) != first, "another split"
    assert hash_of(settings={"shift": 0.5}) != first, "given by the preset"
    with monkeypatch.context() as patch:
        from mfbench_fakes import Settings

        patch.setattr(Settings.model_fields["shift"], "default", 0.5)
        Settings.model_rebuild(force=True)
        patch.setattr("mfbench.benchmarks.harness.prepare.code_hash", lambda task, arm, core: "edited")
        assert prepare_one(spec()).settings["shift"] == 0.5
        assert hash_of() == first, "defaults and code are what is tracked"
    Settings.model_rebuild(force=True)
    with monkeypatch.context() as patch:
        patch.setenv("MFBENCH_FAKE_DATA", "1" * 64)
        assert hash_of() != first, "other data"
    with monkeypatch.context() as patch:
        patch.setattr("mfbench.benchmarks.harness.prepare.observable_hash", lambda observable: "edited")
        assert hash_of() != first, "other code that scores"
        assert hash_of("train_atom_gradients") == hash_of("n_parameters"), "costs are counted by no observable"


def test_the_hash_of_a_metric_is_that_of_its_own_observable(fakes: Path) -> None:
    plain, asked = spec(), spec(observables={"stability": StabilityPlan()})

    def hash_of(run: RunSpec, metric: str) -> str:
        return benchmark_hash(prepare_one(run), metric)

    error, survival = "energy_mae_mev_per_atom", "md_rmst_ps_300K"
    assert hash_of(plain, error) == hash_of(asked, error)
    assert hash_of(asked, survival) != hash_of(asked, error)
    other = spec(observables={"stability": StabilityPlan(duration_ps=2.0)})
    assert hash_of(other, survival) != hash_of(asked, survival)


def test_nothing_is_refused_with_what_to_give(call, tmp_path: Path) -> None:
    result = call("regress")
    assert result.exit_code == 2
    assert "give a folder of runs" in result.stderr
    empty = tmp_path / "runs"
    empty.mkdir()
    assert "has no stored run" in call("regress", empty).stderr
