"""Worker processes that outlive a job and may die without taking the others along.

`concurrent.futures` gives up on all jobs when one process is killed (as happens when memory runs out);
here only the job it held is lost, and told.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

Function = Callable[[Any, Callable[[Any], None]], Any]


@dataclass(frozen=True)
class Event:
    """What happened to a job: it began, told something, ended with a value, or lost its process."""

    kind: Literal["started", "told", "done", "died"]
    job: int
    value: Any = None


def run_jobs(
    function: Function,
    jobs: Sequence[Any],
    workers: int,
    threads: int = 1,
    apart: Sequence[Hashable | None] | None = None,
) -> Iterator[Event]:
    """Run `function(job, tell)` for each job in worker processes; yields events as they come.

    Parameters
    ----------
    function
        Importable; whatever it hands to `tell` comes back as an event. It must not raise.
    workers
        Number of processes; 0 runs in this process.
    threads
        Threads of each process.
    apart
        For each job None, or a name: while another job waits, no two of one name run at the same time.
    """
    if workers == 0:
        yield from _run_here(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    waiting = _Waiting(jobs, apart or [None] * len(jobs))
    pool: list[_Worker] = []
    try:
        with _environment(threads):
            pool = [_Worker(context, function) for _ in range(min(workers, len(jobs)))]
            for worker in pool:
                yield from worker.take(waiting)
            while any(worker.job is not None for worker in pool):
                busy = {worker.connection: worker for worker in pool if worker.job is not None}
                for connection in wait(list(busy)):
                    worker = busy[connection]
                    try:
                        event = worker.receive()
                    except EOFError:
                        worker.process.join()
                        assert worker.job is not None
                        yield Event("died", worker.job, worker.process.exitcode)
                        if not waiting:
                            worker.job = None
                            continue
                        worker.restart()
                    else:
                        yield event
                        if event.kind != "done":
                            continue
                    yield from worker.take(waiting)
    finally:
        for worker in pool:
            worker.stop()


def _run_here(function: Function, jobs: Sequence[Any]) -> Iterator[Event]:
    for index, job in enumerate(jobs):
        told: list[Any] = []
        yield Event("started", index)
        value = function(job, told.append)
        yield from (Event("told", index, item) for item in told)
        yield Event("done", index, value)


class _Waiting:
    """Jobs that nobody has taken, in order, and the names of those that run."""

    def __init__(self, jobs: Sequence[Any], apart: Sequence[Hashable | None]) -> None:
        self._jobs = dict(enumerate(jobs))
        self._apart = apart
        self._running: list[Hashable] = []

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def next(self, after: int | None) -> tuple[int | None, Any]:
        """Return the next job and its index, None if there is none; `after` is the one that ended."""
        if after is not None and self._apart[after] is not None:
            self._running.remove(self._apart[after])
        if not self._jobs:
            return None, None
        free = (index for index in self._jobs if self._apart[index] not in self._running)
        index = next(free, next(iter(self._jobs)))
        name = self._apart[index]
        if name is not None:
            self._running.append(name)
        return index, self._jobs.pop(index)


class _Worker:
    """A process and the job that it holds, if any."""

    def __init__(self, context: Any, function: Function) -> None:
        self._context, self._function = context, function
        self.job: int | None = None
        self.restart()

    def restart(self) -> None:
        self.connection, far = self._context.Pipe()
        self.process = self._context.Process(target=_serve, args=(self._function, far), daemon=True)
        self.process.start()
        far.close()  # so that the death of the process shows as an end of file here

    def take(self, waiting: _Waiting) -> Iterator[Event]:
        self.job, job = waiting.next(after=self.job)
        if self.job is not None:
            yield Event("started", self.job)
            self.connection.send(job)

    def receive(self) -> Event:
        assert self.job is not None
        try:
            kind, value = self.connection.recv()
        except ConnectionResetError as error:
            raise EOFError from error
        return Event(kind, self.job, value)

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _serve(function: Function, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(kind: str, value: Any) -> None:
        try:
            connection.send((kind, value))
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)  # the parent is gone; the checkpoints stay

    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        send("done", function(job, lambda value: send("told", value)))


def _end_with_parent() -> None:
    """Leave when the parent was killed: the command that is given next needs the checkpoints for itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Set thread counts for processes started meanwhile: libraries read them when they are loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    wanted = dict.fromkeys(names, str(threads)) | {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
