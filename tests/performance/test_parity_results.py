"""Stored runs, the choice of learning rate, the table and the verdict."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.contenders.registry import TRAINED
from mfbench.benchmarks.performance.parity import execute, keys
from mfbench.benchmarks.performance.parity.__main__ import core_settings_of
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.report import best_peer, remarks_of, rows_of, table_of, verdict
from mfbench.benchmarks.performance.parity.settings import Comparison, Job, Training
from mfbench.mfcore.errors import ConfigError, DataError

STORED = Path(__file__).resolve().parents[2] / "results" / "performance" / "parity.json"
VERSIONS = "torch 1, thing 2.0"


def result(force_mae: float, validation: float | None = None) -> dict[str, Any]:
    errors = {"force_rmse_mev_per_A": 2 * force_mae, "energy_mae_mev_per_atom": 0.1}
    return {
        "status": "ok",
        "n_parameters": 1000,
        "n_layers": 3,
        "channels": 8,
        "versions": {"torch": "1", "thing": "2.0"},
        "train_wall_s": 2.0,
        "train_cpu_s": 1.0,
        "test": {**errors, "force_mae_mev_per_A": force_mae},
        "validation": {**errors, "force_mae_mev_per_A": validation or force_mae},
    }


def run_of(contender: str, rate: float, seed: int, **values: Any) -> dict[str, Any]:
    job = Job(contender, rate, seed, Network(), Training())
    return {"key": keys.run_key(job, "0"), "job": job.as_dict(), "data_sha256": "0", **values}


def comparison(*contenders: str, epochs: int = 5, core: dict[str, Any] | None = None) -> Comparison:
    return Comparison(contenders, Network(), Training(epochs=epochs), (0.01, 0.005), (0, 1), core or {})


class Fake:
    """Stands for the training process: validation prefers the rate 0.005, and counts what it was asked."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.failing: set[str] = set()

    def __call__(self, job: Job, data_file: Path, python: str, threads: int) -> dict[str, Any]:
        assert ParityData.load(data_file).training.species == [6, 8]
        self.jobs.append(job)
        if job.contender in self.failing:
            return {"status": "failed", "reason": "diverged"}
        return result(10.0 + job.seed, validation=abs(job.learning_rate - 0.005) + 1)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(execute, "train", made)
    return made


@pytest.fixture
def compare(data: ParityData, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def call(*contenders: str, retry_failed: bool = False, **settings: Any) -> list[dict[str, Any]]:
        wanted = comparison(*contenders, **settings)
        return execute.compare(wanted, data, tmp_path / "parity.json", {}, retry_failed=retry_failed)

    return call


def test_rate_is_chosen_on_validation_with_the_first_seed(fake: Fake, compare: Callable[..., Any]) -> None:
    compare("mace")
    assert [(j.learning_rate, j.seed) for j in fake.jobs] == [(0.01, 0), (0.005, 0), (0.005, 1)]


def test_a_finished_training_is_not_run_again(fake: Fake, compare: Callable[..., Any]) -> None:
    first = compare("mace", "nequip")
    count = len(fake.jobs)
    assert compare("mace", "nequip") == first
    assert len(fake.jobs) == count
    compare("mace", epochs=6)  # another recipe is another run
    assert len(fake.jobs) == 2 * count - count // 2


def test_settings_of_the_core_reach_the_core_alone(fake: Fake, compare: Callable[..., Any]) -> None:
    compare("mfcore", "mace")
    count = len(fake.jobs)
    compare("mfcore", "mace", core={"readout_scale": 0.1})  # another core, the same peer
    assert [(j.contender, j.core) for j in fake.jobs[count:]] == [("mfcore", {"readout_scale": 0.1})] * 3


def test_runs_stored_before_the_core_had_settings_keep_their_keys() -> None:
    job = Job("mace", 0.01, 0, Network(), Training())
    assert set(job.as_dict()) == {"contender", "learning_rate", "seed", "network", "training"}


def test_settings_of_the_core_from_the_command_line() -> None:
    assert core_settings_of(["readout_scale=0.3", "parity=true"]) == {"readout_scale": 0.3, "parity": True}
    assert core_settings_of(["readout_scale=1.0"]) == {}  # a default is no other run
    for wrong, reason in (
        ("readout_scale", "expected NAME=VALUE"),
        ("channels=8", "the comparison chooses the shape"),
        ("readout_scale=small", "readout_scale: Input should be a valid number"),
        ("depth=3", "depth: Extra inputs"),
    ):
        with pytest.raises(ConfigError, match=reason):
            core_settings_of([wrong])


def test_failed_trainings_are_kept_and_retried_only_when_asked(fake: Fake, compare: Callable[..., Any]) -> None:
    fake.failing = {"mace"}
    assert [r["status"] for r in compare("mace")] == ["failed", "failed"]
    fake.failing = set()
    assert [r["status"] for r in compare("mace")] == ["failed", "failed"]
    assert [r["status"] for r in compare("mace", retry_failed=True)] == ["ok"] * 3


def test_the_table_alone_needs_neither_data_nor_trainings(
    fake: Fake, compare: Callable[..., Any], tmp_path: Path
) -> None:
    def stored(*contenders: str, **settings: Any) -> list[dict[str, Any]]:
        return execute.stored(comparison(*contenders, **settings), tmp_path / "parity.json")

    with pytest.raises(DataError, match="nothing has been trained"):
        stored("mace")
    runs = compare("mace", "mfcore")
    count = len(fake.jobs)
    assert stored("mace", "mfcore") == runs
    assert stored("mace", epochs=6) == []
    assert stored("mfcore", core={"readout_scale": 0.1}) == []
    assert len(fake.jobs) == count


def test_trainings_of_older_code_are_shown_and_said_to_be_so_and_made_anew(
    fake: Fake, compare: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = compare("mace")
    count = len(fake.jobs)
    monkeypatch.setattr(keys, "code_hash", lambda contender: "other code")
    out = tmp_path / "parity.json"
    assert execute.stored(comparison("mace"), out) == old
    assert remarks_of(old, rows_of(old))[-1] == "by other code than the present one: mace"
    new = compare("mace")
    assert len(fake.jobs) == 2 * count
    assert execute.stored(comparison("mace"), out) == new
    assert len(remarks_of(new, rows_of(new))) == 1  # the versions alone
    monkeypatch.undo()
    assert execute.stored(comparison("mace"), out) == old  # theirs are again of the present code


def test_the_tracked_comparison_is_reported() -> None:
    """All its contenders stand in the table, with the means of the numbers in the file."""
    wanted = Comparison(TRAINED, Network(), Training(), (0.01, 0.005), (0, 1, 2), {"readout_scale": 0.3})
    rows = rows_of(execute.stored(wanted, STORED))
    assert {(row.contender, row.n_seeds) for row in rows} == {(name, 3) for name in TRAINED}
    runs = json.loads(STORED.read_text(encoding="utf-8"))["runs"]
    for row in rows:
        core = {"core": wanted.core} if row.contender == "mfcore" else {}
        jobs = [wanted.job(row.contender, row.learning_rate, seed).as_dict() for seed in wanted.seeds]
        assert all(job.get("core") == core.get("core") for job in jobs)
        maes = [run["test"]["force_mae_mev_per_A"] for run in runs if run["job"] in jobs]
        assert row.force_mae == pytest.approx(sum(maes) / 3)


def test_a_results_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match=r"x\.json"):
        execute.results_file(path).read()


def test_code_hash_ignores_comments_but_not_code(tmp_path: Path) -> None:
    def meaning(text: str) -> str:
        path = tmp_path / "m.py"
        path.write_text(text)
        return keys._meaning(path)

    plain = "def f(x):\n    return x + 1\n"
    assert meaning(plain) == meaning('"""Module."""\n\n\ndef f(x):  # why\n    """What."""\n    return x + 1\n')
    assert meaning(plain) != meaning(plain.replace("1", "2"))
    assert meaning('def f():\n    return g("a")\n') != meaning('def f():\n    return g("b")\n')


def test_code_hash_of_a_peer_does_not_depend_on_the_core() -> None:
    assert len({keys.code_hash(name) for name in TRAINED}) == 4


@pytest.mark.parametrize(("core", "passed"), [(10.9, True), (11.1, False), (4.0, True)])
def test_verdict_is_against_the_best_peer(core: float, passed: bool) -> None:
    runs = [
        run_of("mfcore", 0.01, 0, **result(core)),
        run_of("nequip", 0.01, 0, **result(30.0)),
        run_of("mace", 0.01, 0, **result(10.0)),
    ]
    rows = rows_of(runs)
    found, sentence = verdict(rows)
    assert found is passed
    assert "mace" in sentence
    assert f"{core / 10:.3f} x" in sentence
    assert verdict([r for r in rows if r.contender != "mfcore"])[0] is None


def test_rows_average_over_seeds_of_the_chosen_rate_only() -> None:
    runs = [
        run_of("mace", 0.01, 0, **result(5.0, validation=9.0)),
        run_of("mace", 0.002, 0, **result(8.0, validation=7.0)),
        run_of("mace", 0.002, 1, **result(10.0, validation=20.0)),
        run_of("mace", 0.1, 0, status="failed", reason="diverged"),
        run_of("nequip", 0.1, 0, status="failed", reason="diverged"),
    ]
    (row,) = rows_of(runs)
    assert (row.learning_rate, row.force_mae, row.force_mae_range) == (0.002, 9.0, (8.0, 10.0))
    assert (row.n_seeds, row.n_failed) == (2, 1)
    assert best_peer([row]) is row
    text = io.StringIO()
    Console(file=text, width=300).print(table_of([row], 80, {"training": 400, "test": 1000}))
    assert "8.00 to 10.00" in text.getvalue()
    failed = "learning rate 0.1: diverged"
    assert remarks_of(runs, [row]) == [f"failed: mace, {failed}", f"failed: nequip, {failed}", f"mace: {VERSIONS}"]
