"""Full and read-only disks, and names that are taken: one sentence, exit code 3, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.errors import DataError
from tests.reliability.commands import Commands, hidden, resize, rows_of, small_disk, user_files


def sentence(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert code == 3, (out, err)
    assert "Traceback" not in out + err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    "size", ["16k", *(pytest.param(size, marks=pytest.mark.slow) for size in ("4k", "40k", "64k"))]
)
def test_a_full_disk_ends_a_run_which_goes_on_when_there_is_space(tmp_path: Path, size: str) -> None:
    commands = Commands(tmp_path / "right", pause_s=0.0)
    assert commands.call(commands.run())[0] == 0
    right = rows_of(commands.runs)
    with small_disk(tmp_path / "disk", size) as disk:
        commands.runs = disk / "runs"
        sentence(commands.call(commands.run()), str(disk), "no space is left on the disk")
        stored = RunStore(commands.runs).current_keys() if commands.runs.exists() else []
        for key in stored:  # and none has failed, as if it were its own fault
            assert RunStore(commands.runs).load(key).status == "finished"
        resize(disk, "size=4m")
        code, _, err = commands.call(commands.run())
        assert code == 0, err
        assert rows_of(commands.runs) == right
        assert hidden(disk) == []


def test_a_full_disk_ends_report_export_and_fit(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "here", pause_s=0.0)
    assert commands.call(commands.run())[0] == 0
    files = user_files(tmp_path / "user")
    with small_disk(tmp_path / "disk", "8k") as disk:
        page, rows = disk / "report.html", disk / "rows.csv.gz"
        page.write_text("the old one")
        (disk / "filler").write_bytes(bytes(4096))
        for words in (
            ["report", commands.runs, "--format", "html", "--out", page],
            ["export", commands.runs, rows],
            [*files.fit()[:8], disk / "model", *files.fit()[9:]],
        ):
            sentence(commands.call(words), str(disk), "no space is left on the disk")
        assert page.read_text() == "the old one"
        assert sorted(p.name for p in disk.iterdir()) == ["filler", "report.html"]


def test_a_read_only_disk_is_a_sentence(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "here", pause_s=0.0)
    with small_disk(tmp_path / "disk", "1m") as disk:
        commands.runs = disk / "runs"
        assert commands.call(commands.run())[0] == 0
        resize(disk, "ro")
        report = ["report", commands.runs]
        assert commands.call(report)[0] == 0
        sentence(commands.call([*report, "--out", disk / "report.txt"]), str(disk), "the file system is read-only")
        sentence(commands.call(commands.run("--seed", 1)), str(disk), "the file system is read-only")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda runs: runs.write_text("x"), "runs: a file is in the place of a folder"),
        (lambda runs: (runs / ".lock").mkdir(parents=True), ".lock: a folder has this name, but a file is meant"),
        (lambda runs: (runs / "plan.json").mkdir(parents=True), "plan.json"),
    ],
    ids=["file", "lock", "plan"],
)
def test_names_that_are_taken_are_sentences(
    fakes: Path, tmp_path: Path, call: Callable[..., object], spoil: Callable[[Path], object], words: str
) -> None:
    commands = Commands(tmp_path / "here", pause_s=0.0)
    spoil(commands.runs)
    result = call(*commands.run())
    assert result.exit_code in (2, 3), result.stderr  # type: ignore[attr-defined]
    assert words in result.stderr  # type: ignore[attr-defined]
    assert len(result.stderr.splitlines()) == 1  # type: ignore[attr-defined]


def test_a_folder_of_an_older_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"schema": 1, "cells": {"a": "b"}}')
    (tmp_path / "runs").mkdir()
    with pytest.raises(DataError, match=r"plan\.json, key 'schema': the plan of the runs has schema 1, this version"):
        RunStore(tmp_path).rows()
