"""Stored runs, the choice of learning rate, the table and the verdict."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.parity import execute, store
from mfbench.benchmarks.performance.parity.__main__ import PEERS, core_settings_of, interpreters_of
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.report import best_peer, rows_of, table_of, verdict, versions_of
from mfbench.benchmarks.performance.parity.settings import Job, Training
from mfbench.mfcore.errors import ConfigError, DataError


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
    return {"job": {"contender": contender, "learning_rate": rate, "seed": seed}, **values}


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
    monkeypatch.setattr(execute, "_train", made)
    return made


@pytest.fixture
def compare(data: ParityData, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def call(*contenders: str, epochs: int = 5, **options: Any) -> list[dict[str, Any]]:
        return execute.compare(
            contenders,
            data,
            Network(),
            Training(epochs=epochs),
            rates=[0.01, 0.005],
            seeds=[0, 1],
            out=tmp_path / "parity.json",
            interpreters={},
            threads=1,
            **{"retry_failed": False, **options},
        )

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
    def stored(*contenders: str, epochs: int = 5, core: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        out = tmp_path / "parity.json"
        return execute.stored(contenders, Network(), Training(epochs=epochs), [0.01, 0.005], [0, 1], out, core)

    with pytest.raises(DataError, match="nothing has been trained"):
        stored("mace")
    runs = compare("mace", "mfcore")
    count = len(fake.jobs)
    assert stored("mace", "mfcore") == runs
    assert stored("mace", epochs=6) == []
    assert stored("mfcore", core={"readout_scale": 0.1}) == []
    assert len(fake.jobs) == count


def test_a_results_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match=r"x\.json"):
        store.read_runs(path)


def test_code_hash_ignores_comments_but_not_code(tmp_path: Path) -> None:
    def meaning(text: str) -> str:
        path = tmp_path / "m.py"
        path.write_text(text)
        return store._meaning(path)

    plain = "def f(x):\n    return x + 1\n"
    assert meaning(plain) == meaning('"""Module."""\n\n\ndef f(x):  # why\n    """What."""\n    return x + 1\n')
    assert meaning(plain) != meaning(plain.replace("1", "2"))
    assert meaning('def f():\n    return g("a")\n') != meaning('def f():\n    return g("b")\n')


def test_code_hash_of_a_peer_does_not_depend_on_the_core() -> None:
    assert len({store.code_hash(name) for name in ("mfcore", *PEERS)}) == 4


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
    assert versions_of([row]) == "mace: torch 1, thing 2.0"


def test_interpreters_by_contender(tmp_path: Path) -> None:
    common, special = tmp_path / "python", tmp_path / "mace-python"
    common.touch()
    special.touch()
    found = interpreters_of([f"mace={special}", str(common)])
    assert found == {"nequip": str(common), "sevenn": str(common), "mace": str(special)}  # the core stays here
    with pytest.raises(ConfigError, match="no contender 'chgnet'"):
        interpreters_of([f"chgnet={common}"])
    with pytest.raises(ConfigError, match="not a Python interpreter"):
        interpreters_of([str(tmp_path / "absent")])
