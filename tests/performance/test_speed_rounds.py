"""Turns, rounds, the results file and the tables of the speed comparison, on contenders with known times."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mfbench.benchmarks.performance.contenders.registry import CONTENDERS
from mfbench.benchmarks.performance.harness import store
from mfbench.benchmarks.performance.harness.process import WorkerFailed
from mfbench.benchmarks.performance.harness.rounds import turns
from mfbench.benchmarks.performance.speed import __main__ as command
from mfbench.benchmarks.performance.speed import execute
from mfbench.benchmarks.performance.speed.execute import one_round
from mfbench.benchmarks.performance.speed.report import (
    fastest_peer,
    remarks_of,
    rows_of,
    summary_of,
    table_of,
    times_of,
)
from mfbench.benchmarks.performance.speed.settings import BASE, QUANTITIES, Job, Session, sessions
from mfbench.benchmarks.performance.workloads import WORKLOADS
from mfbench.mfcore.errors import DataError


class Fake:
    """A worker that takes a known time, and notes when it is asked."""

    said: list[tuple[str, str, int]] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, name: str, cpu_s: float, breaks_at: int | None = None) -> None:
        self.name, self.cpu_s, self.breaks_at = name, cpu_s, breaks_at
        self.about = {"n_parameters": 7, "versions": {name: "1.0"}, "build_s": 0.0}

    def ask(self, **request: Any) -> dict[str, Any]:
        if request["what"] == "warm":
            return {"warm_s": 0.0}
        if request["what"] == "memory":
            return dict.fromkeys(QUANTITIES, 52_000)
        self.said.append((self.name, request["what"], request["threads"]))
        if self.breaks_at is not None and len(self.said) > self.breaks_at:
            raise WorkerFailed("out of memory")
        factor = 3.0 if request["what"] == "training_step" else 1.0
        return {"wall_s": factor * self.cpu_s * 2, "cpu_s": factor * self.cpu_s, "calls": 1}

    def close(self) -> None:
        pass


class Silent:
    """Nobody is told anything."""

    def doing(self, text: str) -> None: ...
    def done(self, amount: float, text: str) -> None: ...
    def stored(self, text: str) -> None: ...
    def failed(self, text: str) -> None: ...


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    Fake.said.clear()


STORED = Path(__file__).resolve().parents[2] / command._DEFAULT_OUT
TIMES = {"mfcore": 0.001, "nequip": 0.010, "sevenn": 0.020, "hippynn": 0.004}
SESSION = Session("crystal:52", "base", (1, 2), tuple(TIMES))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "worker_of", lambda job, python: Fake(job.contender, TIMES[job.contender]))


def test_turns_go_to_and_fro() -> None:
    workers = {name: Fake(name, 1.0) for name in "ABC"}
    for number in (0, 1, 2):
        one_round(workers, [1], number, 0.1)
    assert [name for name, what, _ in Fake.said if what == QUANTITIES[0]] == list("ABCCBAABC")
    assert turns("AB", 3) == ["B", "A"]


def test_a_contender_that_breaks_leaves_no_part_of_a_round() -> None:
    workers = {"A": Fake("A", 1.0), "B": Fake("B", 1.0, breaks_at=6)}
    made, failed = one_round(workers, [1, 2], 0, 0.1)
    assert failed == {"B": "out of memory"}
    assert {count: list(times) for count, times in made.items()} == {"1": ["A"], "2": ["A"]}


@pytest.mark.usefixtures("fakes")
def test_killed_and_resumed_rounds_are_the_rounds_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "speed.json"
    file = command.results_file(out)

    class Killed(Silent):
        def stored(self, text: str) -> None:
            if text.endswith("round 2"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute.run(SESSION, {}, 5, 0.1, False, file, Killed())
    assert len(json.loads(out.read_text())["sessions"][0]["rounds"]) == 2
    Fake.said.clear()
    record = execute.run(SESSION, {}, 5, 0.1, True, file, Silent())
    assert len(record["rounds"]) == 5
    assert Fake.said[0][0] == "mfcore"  # the third round goes forth again
    assert len(Fake.said) == 3 * 2 * len(TIMES) * len(QUANTITIES)
    Fake.said.clear()
    again = execute.run(SESSION, {}, 5, 0.1, True, file, Silent())
    assert again == record
    assert Fake.said == []
    monkeypatch.setattr(store, "machine", lambda: {"processor": "another"})
    assert len(execute.run(SESSION, {}, 1, 0.1, False, file, Silent())["rounds"]) == 1


@pytest.mark.usefixtures("fakes")
def test_table_has_ratios_to_the_fastest_equivariant_peer(tmp_path: Path) -> None:
    record = execute.run(SESSION, {}, 3, 0.1, True, command.results_file(tmp_path / "speed.json"), Silent())
    assert fastest_peer(record, 1, "energy_forces") == "nequip"  # hippynn is faster, but another kind of network
    rows = {row.contender: row for row in rows_of(record, 1)}
    assert rows["mfcore"].speed_up["training_step"] == pytest.approx((10.0, 10.0, 10.0))
    assert rows["nequip"].speed_up["energy_forces"] == pytest.approx((1.0, 1.0, 1.0))
    assert rows["sevenn"].speed_up["energy_forces"] == pytest.approx((0.5, 0.5, 0.5))
    assert rows["hippynn"].smallest_us["energy_forces"] == pytest.approx(1e6 * 0.004 / 52)
    assert rows["mfcore"].memory_kb == {"energy_forces": 1.0, "training_step": 1.0}
    walls = {row.contender: row for row in rows_of(record, 2)}
    assert walls["mfcore"].smallest_us["energy_forces"] == pytest.approx(2e6 * 0.001 / 52)  # wall time, not CPU time
    assert times_of(record, 1, "sevenn", "training_step", "cpu_s") == pytest.approx([0.06] * 3)
    assert table_of(record, 1).row_count == 4
    assert summary_of([record]).row_count == 2  # one a thread count


def test_ratio_is_the_median_of_ratios_within_rounds(tmp_path: Path, fakes: None) -> None:
    record = execute.run(SESSION, {}, 3, 0.1, False, command.results_file(tmp_path / "speed.json"), Silent())
    for factor, one in zip((1.0, 5.0, 1.0), record["rounds"], strict=True):  # a busy spell in the second round
        for times in one["1"].values():
            times["energy_forces"]["cpu_s"] *= factor
    record["rounds"][2]["1"]["mfcore"]["energy_forces"]["cpu_s"] *= 2
    row = next(row for row in rows_of(record, 1) if row.contender == "mfcore")
    assert row.speed_up["energy_forces"] == pytest.approx((10.0, 5.0, 10.0))


def test_a_contender_that_cannot_be_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(job: Job, python: str) -> Fake:
        if job.contender == "sevenn":
            raise WorkerFailed("ModuleNotFoundError: no sevenn")
        return Fake(job.contender, TIMES[job.contender])

    monkeypatch.setattr(execute, "worker_of", build)
    record = execute.run(SESSION, {}, 1, 0.1, False, command.results_file(tmp_path / "speed.json"), Silent())
    assert "sevenn" not in record["rounds"][0]["1"]
    assert any("SevenNet" in said and "no sevenn" in said for said in remarks_of([record]))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text('{"runs": []}')
    with pytest.raises(DataError, match="not a results file"):
        command.results_file(tmp_path / "speed.json").read()


def test_the_tracked_sessions_are_reported() -> None:
    records = command.results_file(STORED).read()
    assert {(r["session"]["workload"], r["session"]["variant"]) for r in records} >= {
        (s.workload, s.variant) for s in sessions(["mfcore"])
    }
    for record in records:
        for threads in record["session"]["threads"]:
            rows = {row.contender: row for row in rows_of(record, threads)}
            assert set(rows) == {name for name, about in record["contenders"].items() if about["status"] == "ok"}
            for up in rows["mfcore"].speed_up.values():
                assert up is not None
                assert 1.0 < up.smallest <= up.median <= up.largest
            assert all(row.memory_kb for row in rows.values())
    assert summary_of(records).row_count == sum(len(record["session"]["threads"]) for record in records)


def test_sessions_leave_out_who_cannot_take_part() -> None:
    planned = {(s.workload, s.variant): s for s in sessions(list(CONTENDERS))}
    assert "nequip_compiled" not in planned["crystal:416", "base"].contenders  # it is eager on one frame
    assert "nequip_compiled" in planned["molecules:32", "base"].contenders
    assert planned["crystal:4x52", "lmax3"].contenders == ("mfcore", "nequip")
    assert planned["crystal:4x52", "lmax3"].threads == (1,)
    assert len(planned) == len(WORKLOADS) + 3


def test_core_in_its_own_process() -> None:
    worker = execute.worker_of(Job("mfcore", "crystal:2x13", BASE, 1), sys.executable)
    try:
        assert worker.about["n_layers"] == 3
        assert worker.about["n_parameters"] > 1000
        answer = worker.ask(what="energy_forces", threads=1, seconds=0.01)
        assert 0 < answer["cpu_s"] < 10
        assert worker.ask(what="memory")["training_step"] >= 0
        with pytest.raises(WorkerFailed, match="no_such_quantity"):
            worker.ask(what="no_such_quantity", threads=1, seconds=0.01)
    finally:
        worker.close()
