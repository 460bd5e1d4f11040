"""A job on a worker of a Dask cluster: its start, its messages, its end."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

from distributed import get_worker

_ALONE = threading.Lock()
"""Jobs use global state of libraries (random numbers, threads): one at a time in a process, whatever its threads."""

_NOT_WANTED = ("cancelled", "resumed")


class NotWantedError(BaseException):
    """The caller is gone or has cancelled the job; no error that a job may catch and record."""


def _flushed(worker: Any) -> None:
    """Wait until events are on their way: a job that kills its process at once has started all the same."""
    for _ in range(2):  # a round of the event loop puts events into the stream, the next ones send them
        passed = threading.Event()
        worker.loop.add_callback(passed.set)
        passed.wait(1.0)
        until = time.monotonic() + 1.0
        while worker.batched_stream.buffer and time.monotonic() < until:
            time.sleep(0.002)


def run_job(topic: str, job: int, attempt: int, key: str, content: bytes) -> None:
    """Run a pickled job; a task of Dask.

    All that the caller learns of it are events: (job, attempt, kind, pickled value), of the kinds "started" with the
    worker's address, "told" with a message, "done" with the value, and "raised" with the traceback. The value goes
    this way, too: kept by the worker until the caller fetches it, it would be lost with a worker that dies meanwhile.

    Parameters
    ----------
    topic
        Of the events.
    key
        Of the task.
    content
        Pickled function and argument.
    """
    worker = get_worker()

    def send(kind: str, value: Any) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state in _NOT_WANTED:
            raise NotWantedError
        worker.log_event(topic, (job, attempt, kind, pickle.dumps(value)))

    with _ALONE, suppress(NotWantedError):
        try:
            send("started", worker.address)
            _flushed(worker)
            function, argument = pickle.loads(content)
            send("done", function(argument, lambda value: send("told", value)))
        except Exception:  # also of a function that cannot be imported, or a value that cannot be pickled
            send("raised", traceback.format_exc())
