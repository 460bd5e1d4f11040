"""Workers of Dask keep the promises of every executor, and those of a cluster: losses of workers and connections."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import pytest
from distributed import Client

from mfbench.benchmarks.harness.executors.base import Died, Done, Executor, Job, Started, Tell, Told
from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor
from mfbench.benchmarks.harness.executors.cluster.places import RunningScheduler, Workers
from mfbench.benchmarks.harness.executors.cluster.watch import PREFIX, Watch
from mfbench.benchmarks.harness.executors.cluster.work import run_job
from mfbench.benchmarks.harness.executors.waiting import Waiting
from mfbench.mfcore.errors import ConfigError
from tests.cluster.proxy import Proxy
from tests.contracts.executor import ExecutorContract, jobs_of, square, square_or_die, values

#: Of connections that are cut, which distributed leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


class TestDaskExecutor(ExecutorContract):
    exit_codes = False
    in_order = False

    @pytest.fixture(autouse=True)
    def _at(self, scheduler: str) -> None:
        self.address = scheduler

    def make(self, workers: int) -> Executor:
        return DaskExecutor(RunningScheduler(self.address), most=workers, losses=1)


def die_at_the_third(folder: Path, tell: Tell) -> int:
    """Count calls in a file; the first two kill their worker, each after something new."""
    calls = len(list(folder.iterdir()))
    (folder / str(calls)).touch()
    tell(calls)
    if calls < 2:
        time.sleep(0.3)  # until the message is on its way
        os.kill(os.getpid(), signal.SIGKILL)
    return calls


def test_a_job_that_loses_its_worker_is_given_out_again_with_a_fresh_argument(scheduler: str, tmp_path: Path) -> None:
    made: list[int] = []

    def fresh() -> Path:
        made.append(1)
        return tmp_path

    executor = DaskExecutor(RunningScheduler(scheduler), losses=2)
    events = list(executor.run([Job(die_at_the_third, fresh=fresh)]))
    assert events == [Started(0), Told(0, 0), Told(0, 1), Told(0, 2), Done(0, 2)]
    assert len(made) == 3


def test_a_job_that_kills_its_worker_three_times_has_died(scheduler: str) -> None:
    (started, died) = DaskExecutor(RunningScheduler(scheduler)).run(jobs_of(square_or_die, -1))
    assert started == Started(0)
    assert isinstance(died, Died)
    assert died.reason.startswith("it lost its worker three times without getting any further (tcp://127.0.0.1:")


def tell_until_answered(folder: Path, tell: Tell) -> bool:
    """Tell how often something was told, until the caller has answered by making a file."""
    deadline = time.monotonic() + 60
    while not (folder / "answer").exists():
        if time.monotonic() > deadline:
            return False
        tell(time.monotonic())
        time.sleep(0.02)
    return True


def test_a_cut_connection_is_made_anew_and_jobs_go_on(scheduler: str, tmp_path: Path) -> None:
    cuts = others = 0
    with Proxy(scheduler) as proxy:
        executor = DaskExecutor(RunningScheduler(proxy.address))
        found: list[Any] = []
        for event in executor.run([*jobs_of(tell_until_answered, tmp_path), *jobs_of(square, *range(5))]):
            found.append(event)
            others += isinstance(event, Done)
            if isinstance(event, Told) and event.job == 0 and cuts < 2 and others >= 2 * cuts:
                cuts += bool(proxy.cut())
            if others == 5 and cuts == 2:
                (tmp_path / "answer").touch()
    assert cuts == 2
    assert values(found) == {0: True} | {n + 1: n * n for n in range(5)}
    assert sorted(event.job for event in found if isinstance(event, Started)) == list(range(6))
    assert sorted(event.job for event in found if isinstance(event, Done)) == list(range(6))
    with warnings.catch_warnings():  # the ends that were cut were not closed
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_scheduler_that_never_answers_is_told_of() -> None:
    executor = DaskExecutor(RunningScheduler("tcp://127.0.0.1:9"), patience_s=0.1)
    with pytest.raises(ConfigError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler has answered there"):
        list(executor.run(jobs_of(square, 1)))


def hide_mfbench(hidden: bool) -> None:
    """Let a worker be as one in whose environment mfbench is not installed."""
    if not hidden:
        importlib.metadata.version = importlib.metadata.hidden_version  # type: ignore[attr-defined]
        return
    importlib.metadata.hidden_version = importlib.metadata.version  # type: ignore[attr-defined]
    importlib.metadata.version = no_version


def no_version(package: str) -> NoReturn:
    raise importlib.metadata.PackageNotFoundError(package)


def test_workers_and_schedulers_without_mfbench_are_told_of(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(scheduler, set_as_default=False) as client:
        client.run(hide_mfbench, True)
        try:
            with pytest.raises(ConfigError, match=r"worker tcp://127\.0\.0\.1:\d+ of .* has no mfbench"):
                list(DaskExecutor(RunningScheduler(scheduler)).run(jobs_of(square, 1)))
        finally:
            client.run(hide_mfbench, False)

    def register(client: Client, plugin: Watch) -> NoReturn:
        raise ModuleNotFoundError("No module named 'mfbench'", name="mfbench")

    monkeypatch.setattr(Client, "register_plugin", register)
    with pytest.raises(ConfigError, match="does not find mfbench: start it in the environment of this command"):
        list(DaskExecutor(RunningScheduler(scheduler)).run(jobs_of(square, 1)))


def test_the_workers_are_told_of_and_the_scheduler_keeps_nothing(scheduler: str) -> None:
    told: list[Workers] = []
    list(DaskExecutor(RunningScheduler(scheduler), tell=told.append).run(jobs_of(square, 1, 2, 3)))
    assert [workers.address for workers in told] == [scheduler]
    assert not told[0].own
    with Client(scheduler, set_as_default=False) as client:
        tasks, plugins = client.run_on_scheduler(
            lambda dask_scheduler: (list(dask_scheduler.tasks), list(dask_scheduler.plugins))
        )
        events = client.get_events()
    assert tasks == []
    assert Watch.name in plugins
    assert [topic for topic in events if topic.startswith(PREFIX)] == []


def test_runs_that_no_worker_serves_are_told_of_once(scheduler: str) -> None:
    told: list[Workers] = []

    def leave(workers: Workers) -> None:
        told.append(workers)
        if workers.awaited:
            raise KeyboardInterrupt

    executor = DaskExecutor(RunningScheduler(scheduler), needs={"GPU": 1.0}, tell=leave)
    with pytest.raises(KeyboardInterrupt):
        list(executor.run(jobs_of(square, 1)))
    assert [workers.awaited for workers in told] == [False, True]


def test_a_task_is_called_by_what_the_scheduler_calls_it() -> None:
    assert run_job.__module__ == "mfbench.benchmarks.harness.executors.cluster.work"


def test_names_are_kept_apart_strictly_until_one_is_done() -> None:
    waiting = Waiting(["a", "a", "b", None], strictly=True)
    assert [waiting.next(), waiting.next(), waiting.next(), waiting.next()] == [0, 2, 3, None]
    waiting.again(0)
    assert [waiting.next(), waiting.next()] == [0, None]  # nothing of it is there yet
    waiting.ended(0)
    assert waiting.next() == 1
    assert len(waiting) == 0
    loose = Waiting(["a", "a"])
    assert [loose.next(), loose.next(), loose.next()] == [0, 1, None]
