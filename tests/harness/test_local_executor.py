from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfbench.benchmarks.harness.executors.local import run_jobs


def square(job: int, tell: Callable[[Any], None]) -> int:
    tell(job)
    return job * job


def square_or_die(job: int, tell: Callable[[Any], None]) -> int:
    if job < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def environment(job: str, tell: Callable[[Any], None]) -> str | None:
    return os.environ.get(job)


def overlap(folder: Path, tell: Callable[[Any], None]) -> bool:
    """Whether another job of the same folder runs meanwhile."""
    mark = folder / "running"
    if mark.exists():
        return True
    mark.touch()
    time.sleep(0.2)
    mark.unlink()
    return False


@pytest.mark.parametrize("workers", [0, 2])
def test_every_job_starts_tells_and_ends(workers: int) -> None:
    events = list(run_jobs(square, [3, 4, 5], workers))
    assert sorted((e.job, e.value) for e in events if e.kind == "done") == [(0, 9), (1, 16), (2, 25)]
    assert sorted(e.value for e in events if e.kind == "told") == [3, 4, 5]
    for job in range(3):
        assert [e.kind for e in events if e.job == job] == ["started", "told", "done"]


def test_a_killed_process_takes_no_other_job_along() -> None:
    events = list(run_jobs(square_or_die, [2, -1, 3, -1, 4], 2))
    assert sorted((e.job, e.value) for e in events if e.kind == "done") == [(0, 4), (2, 9), (4, 16)]
    assert sorted((e.job, e.value) for e in events if e.kind == "died") == [(1, -9), (3, -9)]


def test_processes_get_their_threads_and_this_one_keeps_its_own() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    events = list(run_jobs(environment, ["OMP_NUM_THREADS"], 1, threads=3))
    assert [e.value for e in events if e.kind == "done"] == ["3"]
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_jobs_that_want_to_be_apart_do_not_run_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    jobs = [first, first, second, second]
    events = list(run_jobs(overlap, jobs, 2, apart=["a", "a", "b", "b"]))
    assert [e.value for e in events if e.kind == "done"] == [False] * 4
    assert [e.job for e in events if e.kind == "started"][:2] == [0, 2]


def test_no_jobs_is_no_events() -> None:
    assert list(run_jobs(square, [], 2)) == []
