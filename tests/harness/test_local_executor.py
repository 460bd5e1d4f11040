from __future__ import annotations

import os
import time
from pathlib import Path

from mfbench.benchmarks.harness.executors.base import Executor, Job, Tell
from mfbench.benchmarks.harness.executors.factory import default_workers, make_executor
from mfbench.benchmarks.harness.executors.local import LocalExecutor
from tests.contracts.executor import ExecutorContract, threads, values


class TestLocalExecutor(ExecutorContract):
    workers = (0, 1, 2)

    def make(self, workers: int) -> Executor:
        return LocalExecutor(workers)


def test_workers_get_the_threads_that_are_asked_for() -> None:
    events = list(LocalExecutor(1, threads=3).run([Job(threads, "OMP_NUM_THREADS")]))
    assert values(events) == {0: "3"}


def meet(folder: Path, tell: Tell) -> bool:
    """Wait until two jobs have come."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_jobs_of_one_name_run_together_when_no_other_waits(tmp_path: Path) -> None:
    """Waiting for each other would be no faster than doing twice the work that they share."""
    assert values(list(LocalExecutor(2).run([Job(meet, tmp_path, "a")] * 2))) == {0: True, 1: True}


def test_the_factory_makes_local_workers() -> None:
    assert make_executor(3) == LocalExecutor(3)
    assert default_workers() >= 1
