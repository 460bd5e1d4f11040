"""The parts that the studies share: worker processes, results files, turns, ratios, progress and command lines."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

import mfbench
from mfbench.benchmarks.performance.harness import command, store
from mfbench.benchmarks.performance.harness.process import Worker, WorkerFailed, interpreters
from mfbench.benchmarks.performance.harness.progress import Shown
from mfbench.benchmarks.performance.harness.rounds import ratio_of, turns
from mfbench.benchmarks.performance.harness.store import ResultsFile
from mfbench.mfcore.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


# ---- workers


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Worker]]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made: list[Worker] = []

    def make(job: dict[str, Any], threads: int = 1, heard: bool = False) -> Worker:
        made.append(Worker("tests.performance.echo", job, sys.executable, threads, heard))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_a_worker_answers_and_its_packages_words_are_no_answers(echo: Callable[..., Worker]) -> None:
    worker = echo({"size": [1, 2]}, threads=2)
    assert worker.about["job"] == {"size": [1, 2]}
    assert worker.about["mfbench"] == os.path.realpath(mfbench.__file__)
    assert worker.about["variables"] == {
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "10000",
    }
    assert [worker.ask(what=word)["answer"] for word in ("a", "b")] == ["aa", "bb"]


def test_the_last_words_are_the_reason(echo: Callable[..., Worker]) -> None:
    with pytest.raises(WorkerFailed, match=r"^RuntimeError: it cannot be built$"):
        echo({"broken": True})
    worker = echo({})
    with pytest.raises(WorkerFailed, match=r"^last words$") as failed:
        worker.ask(what="end")
    assert failed.value.signal is None
    with pytest.raises(WorkerFailed, match=r"^last words$"):  # and it stays so
        worker.ask(what="a")


def test_a_worker_that_is_heard_keeps_no_words(echo: Callable[..., Worker], capfd: pytest.CaptureFixture[str]) -> None:
    worker = echo({}, heard=True)
    with pytest.raises(WorkerFailed, match="ended with exit code 3; see its output"):
        worker.ask(what="end")
    assert "last words" in capfd.readouterr().err


def test_a_killed_worker_says_by_what(echo: Callable[..., Worker]) -> None:
    worker = echo({})
    with pytest.raises(WorkerFailed, match="killed by signal 9") as failed:
        worker.ask(what="die")
    assert failed.value.signal == 9


def test_interpreters_by_name_win(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    found = interpreters(
        [f"mace={tmp_path / 'b'}", str(tmp_path / "a")], ["core", "mace", "nequip"], ["mace", "nequip"]
    )
    assert found == {"mace": str(tmp_path / "b"), "nequip": str(tmp_path / "a")}  # the core stays here
    with pytest.raises(ConfigError, match="no contender 'nobody'"):
        interpreters([f"nobody={tmp_path / 'a'}"], ["mace"], ["mace"])
    with pytest.raises(ConfigError, match="is not a Python interpreter"):
        interpreters([str(tmp_path / "c")], ["mace"], ["mace"])


# ---- results files


def test_a_record_replaces_that_of_its_place(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "new" / "x.json", "study", "--json", "runs")
    assert file.read() == []
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        file.keep({"key": key, "value": value})
    assert [record["value"] for record in file.read()] == [2, 3]
    file.keep({"key": "c", "value": 2}, lambda record: record["value"])
    assert {key: record["value"] for key, record in file.by_key().items()} == {"a": 3, "c": 2}


def test_a_file_of_one_record(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "x.json", "study", "--json", needs=("key", "rounds"))
    for key in "ab":
        file.keep({"key": key, "rounds": []})
    assert file.read() == [{"key": "b", "rounds": []}]


@pytest.mark.parametrize("text", ['{"sessions": []}', "[1, 2]", '{"runs": [{"kee": 1}]}', '{"runs": 3}', "{"])
def test_a_file_of_another_kind_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    file = ResultsFile(path, "study", "--json", "runs")
    with pytest.raises(DataError, match=r"x\.json.*not a results file of the study.*another --json"):
        file.keep({"key": "a"})
    assert path.read_text() == text


def test_keys_know_code_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "code.py"
    code.write_text("x = 1")
    keys = [store.key_of({"a": 1}, [code]), store.key_of({"a": 2}, [code])]
    assert store.key_of({"a": 1}, [code]) == keys[0]
    code.write_text("x = 2")
    keys.append(store.key_of({"a": 1}, [code]))
    monkeypatch.setattr(store, "machine", lambda: {"processor": "another"})
    keys.append(store.key_of({"a": 1}, [code]))
    assert len(set(keys)) == 4


# ---- rounds


def test_turns_and_ratios() -> None:
    assert ["".join(turns("ABC", number)) for number in (0, 1, 2)] == ["ABC", "CBA", "ABC"]
    found = ratio_of([10.0, 30.0, 8.0], [1.0, 2.0, 4.0])
    assert found == (10.0, 2.0, 15.0)  # of ratios, not the ratio of medians
    assert found.as_dict() == {"ratio": 10.0, "ratio_min": 2.0, "ratio_max": 15.0}
    with pytest.raises(ValueError, match="shorter"):
        ratio_of([1.0, 2.0], [1.0])


# ---- command lines


def test_progress_without_a_terminal_is_a_line_a_round() -> None:
    text = io.StringIO()
    with Shown(Console(file=text, width=60), 40.0) as shown:
        shown.doing("building")
        shown.done(10.0, "first")
        shown.stored("[base]: round 1")
        shown.failed("[A]: no memory")
    assert text.getvalue() == "[base]: round 1, 25 % of all\nfailed: [A]: no memory\n"


def test_conventions_of_the_command_lines() -> None:
    assert command.chosen(None, ["a", "b"], "axis") == ["a", "b"]
    assert command.chosen(["b"], ["a", "b"], "axis") == ["b"]
    with pytest.raises(typer.BadParameter, match="no axis 'c'; there are a, b"):
        command.chosen(["c"], ["a", "b"], "axis")
    text = io.StringIO()
    console = Console(file=text, width=80)
    with pytest.raises(typer.Exit) as ended, command.errors_on(console):
        raise ConfigError("this is wrong.")
    assert ended.value.exit_code == 2
    assert text.getvalue() == "error: this is wrong.\n"
    command.conclude(console, (True, "well"))
    command.conclude(console, (None, "unknown"))
    with pytest.raises(typer.Exit) as ended:
        command.conclude(console, (False, "bad"))
    assert ended.value.exit_code == 1
    assert text.getvalue().splitlines()[1:] == ["well", "unknown", "bad"]
