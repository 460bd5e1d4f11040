"""Jobs on a Dask cluster whose workers and whose scheduler may be lost and come back."""

from __future__ import annotations

import pickle
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from distributed import Client, KilledWorker

from mfbench.benchmarks.harness.executors.base import Aside, Died, Done, Event, Job, Started, Told
from mfbench.benchmarks.harness.executors.cluster.places import Place, Workers
from mfbench.benchmarks.harness.executors.cluster.watch import PREFIX, Watch
from mfbench.benchmarks.harness.executors.cluster.work import run_job
from mfbench.benchmarks.harness.executors.waiting import Waiting
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.provenance import digest

_LOOK_S = 10.0
_TICK_S = 0.2
_STOP_S = 20.0
_FIRST_S = 30.0
"""Time for which a scheduler may be gone before it has ever answered, s: most often its address is wrong."""
_UNSEEN = 20
"""Losses of workers that a job may have before it has started there."""


@dataclass(frozen=True)
class DaskExecutor:
    """Runs jobs on the workers of a Dask cluster.

    As many jobs are given out as there are workers, or may be, so that the scheduler holds few of them. A job whose
    worker is lost is given to another one. After as many losses in a row in which it told nothing new, it has died:
    then it is likely that the job kills its workers.

    Attributes
    ----------
    place
        Where the workers are.
    most
        Jobs at a time at most; None: as many as there are workers.
    needs
        Resources of Dask that each job takes ({"GPU": 1}).
    losses
        Workers that a job may lose in a row.
    strictly_apart
        Whether jobs of one name (:attr:`Job.apart`) wait until the first of them is done.
    patience_s
        Time for which a scheduler that was there may be gone, s.
    tell
        Told of the workers before jobs are given to them, and once if there are none.

    Raises
    ------
    ConfigError
        While jobs are run: if the scheduler cannot be reached for so long, or has workers of several threads, or of
        less memory than a job takes; or if the batch system takes no job.
    """

    place: Place
    most: int | None = None
    needs: Mapping[str, float] = field(default_factory=dict)
    losses: int = 3
    strictly_apart: bool = False
    patience_s: float = 300.0
    tell: Callable[[Workers], object] = lambda workers: None

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Run jobs, see :class:`mfbench.benchmarks.harness.executors.base.Executor`."""
        if not jobs:
            return
        if self.place.memory:
            _check_memory("a worker", self.place.memory, jobs)
        with self.place.workers(min(self.most or len(jobs), len(jobs))) as workers:
            session = _Session(self, workers, jobs)
            self.tell(workers)
            try:
                yield from session.events()
            finally:
                session.close()


@dataclass
class _Given:
    """A job that is out: its last attempt, what it has told, and how often its worker was lost since it told news."""

    attempt: int = 0
    future: Any = None
    worker: str = ""
    started: bool = False
    told: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    unseen: int = 0


class _Session:
    """The jobs of one call of `run`, and the connection to the scheduler while it lasts."""

    def __init__(self, executor: DaskExecutor, workers: Workers, jobs: Sequence[Job]) -> None:
        self._executor, self._workers, self._jobs = executor, workers, jobs
        self._waiting = Waiting([job.apart for job in jobs], executor.strictly_apart)
        self._given: dict[int, _Given] = {}  # also of jobs that wait again
        self._out: set[int] = set()
        self._ended = 0
        self._topic = f"{PREFIX}{uuid.uuid4().hex[:12]}"
        self._inbox: queue.SimpleQueue[tuple[int, int, str, Any]] = queue.SimpleQueue()
        self._client: Client | None = None
        self._stream: Any = None
        self._answered = False
        self._asked: set[str] = set()
        self._slots, self._looked, self._began = 0, -_LOOK_S, time.monotonic()

    def events(self) -> Iterator[Event]:
        """Give out jobs and pass on what comes back, until all have ended."""
        while self._ended < len(self._jobs):
            client = self._connected()
            if refusal := self._workers.refusal():
                raise ConfigError(f"{refusal} What has finished is stored; the same command goes on from there.")
            self._look(client)
            self._give_out(client)
            with suppress(queue.Empty):
                job, attempt, kind, value = self._inbox.get(timeout=_TICK_S)
                if kind == "workers":
                    self._looked = -_LOOK_S
                elif job in self._out and self._given[job].attempt == attempt:  # not of an attempt that was given up
                    yield from self._event(job, kind, value)

    # ---- connection

    def _connected(self) -> Client:
        """The client; a new one when the connection was lost, with all jobs waiting again that were out."""
        if self._client is not None and self._holds(self._client):
            return self._client
        if self._client is not None:
            for job in sorted(self._out, reverse=True):
                self._wait_again(job)
            self._drop_client()
        patience_s = self._executor.patience_s if self._answered else min(self._executor.patience_s, _FIRST_S)
        until = time.monotonic() + patience_s
        while True:
            try:
                self._client = self._connect()
                return self._client
            except (OSError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise ConfigError(
                        f"{self._workers.address}: no Dask scheduler has answered there for "
                        f"{patience_s:.0f} s ({error}). What has finished is "
                        "stored; the same command goes on from there."
                    ) from error
                time.sleep(1.0)

    def _connect(self) -> Client:
        client = self._workers.connect(min(10.0, self._executor.patience_s))
        try:
            self._register(client)
            client.subscribe_topic(self._topic, lambda event: self._inbox.put(tuple(event[1])))
            client.subscribe_topic("all", self._worker_event)
        except BaseException:
            with suppress(Exception):
                client.close(timeout=1)
            raise
        self._looked, self._stream, self._answered = -_LOOK_S, client.scheduler_comm, True
        return client

    def _register(self, client: Client) -> None:
        try:
            client.register_plugin(Watch())
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the Dask scheduler at {self._workers.address} does not find {error.name}: start it in the "
                "environment of this command."
            ) from error

    def _holds(self, client: Client) -> bool:
        """Say whether the connection is still the one that was made: by another one, events might not come."""
        return client.status == "running" and client.scheduler_comm is self._stream

    def _worker_event(self, event: Any) -> None:
        if isinstance(event[1], Mapping) and event[1].get("action") in ("add-worker", "remove-worker"):
            self._inbox.put((-1, 0, "workers", None))

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            until = time.monotonic() + 2.0
            while client.status == "connecting" and time.monotonic() < until:
                time.sleep(0.02)  # closed in between, it would leave a socket open
            with suppress(Exception):
                if client.status == "running":
                    client.unsubscribe_topic("all")
                    client.unsubscribe_topic(self._topic)
                client.close(timeout=2)

    # ---- jobs out and back

    def _give_out(self, client: Client) -> None:
        while self._waiting and len(self._out) < self._places:
            job = self._waiting.next()
            if job is None:
                return
            given = self._given.setdefault(job, _Given())
            given.attempt += 1
            given.worker = ""
            ready = self._jobs[job].ready()
            content = pickle.dumps((ready.function, ready.argument))
            key = f"{self._topic}-{job}-{given.attempt}"
            self._out.add(job)
            try:
                given.future = client.submit(
                    run_job,
                    *(self._topic, job, given.attempt, key, content),
                    key=key,
                    pure=False,
                    retries=0,
                    resources=dict(self._executor.needs) or None,
                    priority=-job,
                )
            except Exception:
                if client.status == "running":
                    raise
                return  # the connection was lost: all wait again
            given.future.add_done_callback(
                lambda future, job=job, attempt=given.attempt: self._inbox.put((job, attempt, "ended", future))
            )

    @property
    def _places(self) -> int:
        """Jobs that may be out: as many as there are workers, or may come."""
        return min(self._executor.most or len(self._jobs), max(self._slots, self._workers.most))

    def _look(self, client: Client) -> None:
        """See which workers there are, now and then."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        try:
            found = client.scheduler_info(n_workers=-1)["workers"]
        except Exception:
            if client.status == "running":
                raise
            self._slots = 0
            return
        self._check_packages(client, found)
        wide = [worker for worker in found.values() if worker["nthreads"] > 1]
        if wide:
            raise ConfigError(
                f"worker {wide[0]['id']} of {self._workers.address} has {wide[0]['nthreads']} threads; a run's "
                "numbers are those of one: start it with --nthreads 1, and several of them with --nworkers N."
            )
        for worker in found.values():
            _check_memory(f"worker {worker['id']} of {self._workers.address}", worker["memory_limit"], self._jobs)
        self._slots = sum(self._serves(worker) for worker in found.values())
        self._tell_when_there_is_none()

    def _tell_when_there_is_none(self) -> None:
        workers = self._workers
        if self._slots or workers.awaited or not workers.awaits:
            return
        if time.monotonic() - self._began >= workers.patience_s:
            self._workers = replace(workers, awaited=True)
            self._executor.tell(self._workers)

    def _check_packages(self, client: Client, found: Mapping[str, Any]) -> None:
        """Ask workers that are new whether they have mfbench: one without is lost, without a word, by its first job."""
        new = [address for address in found if address not in self._asked]
        answers: Mapping[str, Any] = {}
        if new:
            with suppress(OSError, TimeoutError):  # lost meanwhile
                answers = client.run(version, "mfbench", workers=new, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, PackageNotFoundError):
                raise ConfigError(
                    f"worker {address} of {self._workers.address} has no mfbench: start `dask worker` in an "
                    "environment where it is installed (environment and python in a cluster file)."
                )
            if isinstance(answer, str):
                self._asked.add(address)

    def _serves(self, worker: Mapping[str, Any]) -> bool:
        has = worker.get("resources") or {}
        return all(has.get(name, 0.0) >= amount for name, amount in self._executor.needs.items())

    def _event(self, job: int, kind: str, value: Any) -> Iterator[Event]:
        given = self._given[job]
        if kind == "started":
            given.worker = pickle.loads(value)
            if not given.started:
                given.started = True
                yield Started(job)
        elif kind == "told":
            message = pickle.loads(value)
            if not isinstance(message, Aside) and (mark := digest(repr(message))) not in given.told:
                given.told.add(mark)
                given.lost.clear()
            yield Told(job, message)
        elif kind == "done":
            yield from self._over(Done(job, pickle.loads(value)))
        elif kind == "raised":
            yield from self._over(Died(job, error=pickle.loads(value)))
        elif kind == "moved":  # to another worker, with the argument that it had at first
            assert self._client is not None
            self._client.cancel([given.future], force=True)
            self._wait_again(job)
        else:
            yield from self._without_value(job, value)

    def _without_value(self, job: int, future: Any) -> Iterator[Event]:
        """A task that has ended before it sent a value."""
        error = future.exception(timeout=self._executor.patience_s) if future.status == "error" else None
        if error is None:  # the scheduler forgot it: it was started anew, or the connection was lost
            self._wait_again(job)
            return
        if not isinstance(error, KilledWorker):
            yield from self._over(Died(job, error=f"{type(error).__name__}: {error}"))
            return
        given = self._given[job]
        if given.worker:
            given.lost.append(given.worker)
        else:  # it was not there yet: the worker died of something else, most likely
            given.unseen += 1
        if len(given.lost) < self._executor.losses and given.unseen < _UNSEEN:
            self._wait_again(job)
            return
        times = _times(len(given.lost) or given.unseen)
        lost = f"it lost its worker {times} without getting any further ({', '.join(given.lost)})"
        yield from self._over(Died(job, lost=lost))

    def _over(self, event: Done | Died) -> Iterator[Event]:
        if not self._given[event.job].started:  # the worker was lost before it could say so
            yield Started(event.job)
        self._waiting.ended(event.job, isinstance(event, Done))
        self._out.discard(event.job)
        del self._given[event.job]
        self._ended += 1
        yield event

    def _wait_again(self, job: int) -> None:
        self._out.discard(job)
        self._given[job].future = None
        self._waiting.again(job)

    # ---- the end

    def close(self) -> None:
        """Cancel what is out, and let go of the workers; the processes of theirs that are still busy are ended."""
        client = self._client
        if client is not None and self._out and client.status == "running":
            busy = [given.worker for job, given in self._given.items() if job in self._out and given.worker]
            with suppress(Exception):
                client.cancel([self._given[job].future for job in self._out], force=True)
                if not self._workers.own:
                    client.restart_workers(busy, timeout=_STOP_S, raise_for_error=False)
        self._drop_client()


def _check_memory(worker: str, limit: float, jobs: Sequence[Job]) -> None:
    most = max(job.memory for job in jobs)
    if 0 < limit < most:
        raise ConfigError(
            f"{worker} may take {limit / 1e9:.1f} GB of memory, and a run takes {most / 1e9:.1f} GB at least, with its "
            "batches: give workers more (memory of a cluster file, --memory-limit of `dask worker`), or runs smaller "
            "batches (training.batch_atoms)."
        )


def _times(number: int) -> str:
    return {1: "once", 2: "twice", 3: "three times"}.get(number, f"{number} times")
