"""Promises of every executor; inherit `ExecutorContract` and make one.

class TestMyExecutor(ExecutorContract):
    def make(self, workers: int) -> Executor:
        return MyExecutor(workers)
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mfbench.benchmarks.harness.executors.base import Died, Done, Event, Executor, Job, Started, Tell, Told


def square(job: int, tell: Tell) -> int:
    tell(job)
    tell(-job)
    return job * job


def square_or_die(job: int, tell: Tell) -> int:
    if job < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def leave(job: int, tell: Tell) -> NoReturn:
    os._exit(job)


def square_or_raise(job: int, tell: Tell) -> int:
    tell(job)
    if job < 0:
        raise ValueError(f"{job} is below zero")
    return job * job


def what_cannot_be_sent(job: int, tell: Tell) -> Any:
    return lambda: job


def threads(job: str, tell: Tell) -> str | None:
    return os.environ.get(job)


def tell_and_wait(folder: Path, tell: Tell) -> bool:
    """Tell something; then wait until the caller has answered by making a file."""
    tell("ready")
    deadline = time.monotonic() + 60
    while not (folder / "answer").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def write_for_a_minute(path: Path, tell: Tell) -> None:
    tell(os.getpid())
    for _ in range(600):
        path.write_text(str(time.time()))
        time.sleep(0.1)


def alone_beside_another(folders: tuple[Path, Path], tell: Tell) -> bool:
    """Say whether a job is the only one of its folder that runs, once as many jobs of the other folder have begun.

    Jobs wait for each other, so that the answer does not depend on how fast workers start.
    """
    mine, other = folders
    mark = mine / "running"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    turn = f"turn {len(list(mine.glob('turn *')))}"
    (mine / turn).touch()
    deadline = time.monotonic() + 60
    while not (other / turn).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    mark.unlink()
    return True


def jobs_of(function, *arguments: Any) -> list[Job]:
    return [Job(function, argument) for argument in arguments]


def values(events: list[Event]) -> dict[int, Any]:
    return {event.job: event.value for event in events if isinstance(event, Done)}


class ExecutorContract:
    """Contracts of order, ends, losses and clean stops."""

    #: Numbers of workers to ask for; 0 means the caller's own process, for an executor that can.
    workers: tuple[int, ...] = (1, 2)
    #: A worker that is lost is told of with its exit code; of other machines nobody may see it.
    exit_codes = True
    #: The first jobs are told to have started in their order, also where they do so at once.
    in_order = True

    def make(self, workers: int) -> Executor:
        raise NotImplementedError

    def test_every_job_starts_tells_in_order_and_ends_once(self) -> None:
        for workers in self.workers:
            events = list(self.make(workers).run(jobs_of(square, 3, 4, 5)))
            assert values(events) == {0: 9, 1: 16, 2: 25}
            for job, argument in enumerate((3, 4, 5)):
                mine = [event for event in events if event.job == job]
                assert mine == [Started(job), Told(job, argument), Told(job, -argument), Done(job, argument**2)]

    def test_no_jobs_is_no_events(self) -> None:
        for workers in self.workers:
            assert list(self.make(workers).run([])) == []

    def test_a_message_arrives_while_its_job_runs(self, tmp_path: Path) -> None:
        for event in self.make(1).run(jobs_of(tell_and_wait, tmp_path)):
            if isinstance(event, Told):
                (tmp_path / "answer").touch()
        assert isinstance(event, Done)
        assert event.value

    def test_a_killed_worker_takes_no_other_job_along(self) -> None:
        for workers in (1, 2):
            events = list(self.make(workers).run(jobs_of(square_or_die, 2, -1, 3, -1, 4)))
            assert values(events) == {0: 4, 2: 9, 4: 16}
            died = {event.job: event for event in events if isinstance(event, Died)}
            assert set(died) == {1, 3}
            assert died[1].error == ""
            assert died[1].reason
            if self.exit_codes:
                assert {event.exit_code for event in died.values()} == {-signal.SIGKILL}
                assert died[1].reason == "its process was killed by signal 9"

    def test_a_worker_that_leaves_is_told_with_its_exit_code(self) -> None:
        (started, died) = self.make(1).run(jobs_of(leave, 3))
        assert started == Started(0)
        assert isinstance(died, Died)
        if self.exit_codes:
            assert died == Died(0, 3)
            assert died.reason == "its process ended with exit code 3"

    def test_an_argument_is_made_when_its_job_is_given_out(self) -> None:
        made: list[int] = []

        def fresh() -> int:
            made.append(len(made) + 5)
            return made[-1]

        for workers in self.workers:
            events = list(self.make(workers).run([Job(square, fresh=fresh)]))
            assert values(events) == {0: made[-1] ** 2}

    def test_an_exception_ends_its_job_alone(self) -> None:
        for workers in self.workers:
            events = list(self.make(workers).run(jobs_of(square_or_raise, 2, -1, 3)))
            assert values(events) == {0: 4, 2: 9}
            (died,) = [event for event in events if isinstance(event, Died)]
            assert (died.job, died.exit_code) == (1, None)
            assert died.reason == "it raised ValueError: -1 is below zero"
            assert "square_or_raise" in died.error  # where it was raised
            assert [event for event in events if event.job == 1][:2] == [Started(1), Told(1, -1)]

    def test_a_value_that_cannot_be_sent_is_an_exception(self) -> None:
        events = list(self.make(1).run(jobs_of(what_cannot_be_sent, 1, 2)))
        assert [event.job for event in events if isinstance(event, Died) and event.error] == [0, 1]

    def test_a_worker_has_one_thread_and_the_caller_keeps_its_own(self) -> None:
        before = os.environ.get("OMP_NUM_THREADS")
        assert values(list(self.make(1).run(jobs_of(threads, "OMP_NUM_THREADS")))) == {0: "1"}
        assert os.environ.get("OMP_NUM_THREADS") == before

    def test_jobs_that_want_to_be_apart_do_not_run_together(self, tmp_path: Path) -> None:
        first, second = tmp_path / "a", tmp_path / "b"
        first.mkdir()
        second.mkdir()
        pairs = [(first, second), (first, second), (second, first), (second, first)]
        jobs = [Job(alone_beside_another, pair, pair[0].name) for pair in pairs]
        events = list(self.make(2).run(jobs))
        assert values(events) == dict.fromkeys(range(4), True)
        began = [event.job for event in events if isinstance(event, Started)][:2]
        assert (began if self.in_order else sorted(began)) == [0, 2]

    @pytest.mark.parametrize("stop", ["closed", "interrupted"])
    def test_stopping_early_ends_the_workers(self, stop: str, tmp_path: Path) -> None:
        paths = [tmp_path / "a", tmp_path / "b"]
        events = self.make(2).run(jobs_of(write_for_a_minute, *paths))
        workers: list[int] = []
        for event in events:
            if isinstance(event, Told):
                workers.append(event.value)
            if len(workers) == 2:
                break
        if stop == "closed":
            events.close()  # type: ignore[attr-defined]
        else:
            with pytest.raises(KeyboardInterrupt):
                events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
        written = [path.read_text() if path.exists() else "" for path in paths]
        time.sleep(0.5)
        assert [path.read_text() if path.exists() else "" for path in paths] == written
        assert all(not alive(worker) for worker in workers)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
