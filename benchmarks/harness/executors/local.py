"""Worker processes on this machine that outlive a job and may die without taking the others along.

`concurrent.futures`, joblib and loky give up on all jobs when one process is killed (as happens when memory runs out);
pebble does not, but its jobs cannot send messages while they run. Here only the job of the killed process is lost.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from mfbench.benchmarks.harness.executors.base import Died, Done, Event, Job, Started, Told
from mfbench.benchmarks.harness.executors.waiting import Waiting


@dataclass(frozen=True)
class LocalExecutor:
    """Runs jobs in processes of this machine, or in this process.

    Attributes
    ----------
    workers
        Number of processes; 0 runs in this process, where messages come when a job has ended.
    threads
        Threads of each process.
    """

    workers: int
    threads: int = 1

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Run jobs, see :class:`mfbench.benchmarks.harness.executors.base.Executor`."""
        if self.workers == 0:
            yield from _run_here(jobs)
            return
        context = multiprocessing.get_context("spawn")
        waiting = Waiting([job.apart for job in jobs])
        pool: list[_Worker] = []
        try:
            with _environment(self.threads):
                for _ in range(min(self.workers, len(jobs))):
                    pool.append(_Worker(context))
                for worker in pool:
                    yield from worker.take(waiting, jobs)
                while any(worker.job is not None for worker in pool):
                    busy = {worker.connection: worker for worker in pool if worker.job is not None}
                    for connection in wait(list(busy)):
                        yield from _next(busy[connection], waiting, jobs)
        finally:
            for worker in pool:
                worker.stop()


def _next(worker: _Worker, waiting: Waiting, jobs: Sequence[Job]) -> Iterator[Event]:
    """Receive an event of a worker, and give it a job if its own has ended."""
    try:
        event = worker.receive()
    except EOFError:
        worker.process.join()
        worker.connection.close()
        assert worker.job is not None
        yield Died(worker.job, worker.process.exitcode)
        if not waiting:
            worker.job = None
            return
        worker.restart()
    else:
        yield event
        if isinstance(event, Told):
            return
    yield from worker.take(waiting, jobs)


def _run_here(jobs: Sequence[Job]) -> Iterator[Event]:
    for index, job in enumerate(jobs):
        told: list[Any] = []
        yield Started(index)
        end: Event
        try:
            end = Done(index, job.function(job.ready().argument, told.append))
        except Exception:
            end = Died(index, error=traceback.format_exc())
        yield from (Told(index, item) for item in told)
        yield end


class _Worker:
    """A process and the job that it holds, if any."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.job: int | None = None
        self.restart()

    def restart(self) -> None:
        self.connection, far = self._context.Pipe()
        self.process = self._context.Process(target=_serve, args=(far,), daemon=True)
        self.process.start()
        far.close()  # so that the death of the process shows as an end of file here

    def take(self, waiting: Waiting, jobs: Sequence[Job]) -> Iterator[Event]:
        if self.job is not None:
            waiting.ended(self.job)
        self.job = waiting.next()
        if self.job is not None:
            yield Started(self.job)
            with suppress(BrokenPipeError):  # a worker that is lost already: its end of file comes next
                self.connection.send(jobs[self.job].ready())

    def receive(self) -> Event:
        assert self.job is not None
        try:
            kind, value = self.connection.recv()
        except ConnectionResetError as error:
            raise EOFError from error
        if kind == "raised":
            return Died(self.job, error=value)
        return Told(self.job, value) if kind == "told" else Done(self.job, value)

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()  # it is deaf to SIGTERM; what it writes is there whole or not at all
        self.process.join()


def _serve(connection: Connection) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # often sent to a whole group of processes:
        signal.signal(number, signal.SIG_IGN)  # the parent is asked to end, and ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(kind: str, value: Any) -> None:
        try:
            connection.send((kind, value))
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)  # the parent is gone; the checkpoints stay

    while True:
        try:
            content = connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            return
        try:
            job = pickle.loads(content)
            send("done", job.function(job.argument, lambda value: send("told", value)))
        except Exception:  # also of a function that cannot be imported, or a value that cannot be pickled
            send("raised", traceback.format_exc())


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
