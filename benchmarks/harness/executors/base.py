"""The interface of an executor: jobs go in, events come out while they run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

Tell = Callable[[Any], None]
"""Sends a message from a running job to the caller."""


@dataclass(frozen=True)
class Job:
    """A call of a function, to be made anywhere.

    Attributes
    ----------
    function
        Importable by its name; called as `function(argument, tell)`.
    argument
        Can be pickled, and so can the value of the function and its messages.
    apart
        None, or a name: while a job of another name waits, no two jobs of one name run at the same time. They share
        work that would be done twice otherwise.
    fresh
        Makes the argument in place of `argument`, in the caller's process, each time that the job is given to a worker:
        what the job has sent before its worker was lost may go with it. It need not be one that can be pickled.
    memory
        What it takes of memory at least, bytes; 0 if that is not known. Workers that may not take so much are refused.
    """

    function: Callable[[Any, Tell], Any]
    argument: Any = None
    apart: Hashable | None = None
    fresh: Callable[[], Any] | None = None
    memory: int = 0

    def ready(self) -> Self:
        """The job with the argument that it has now, as it is sent."""
        return self if self.fresh is None else replace(self, argument=self.fresh(), fresh=None)


class Aside:
    """Base of messages that do not say how far a job is: another one when it is computed again."""


@dataclass(frozen=True)
class Started:
    """A worker has taken a job.

    Attributes
    ----------
    job
        Place of the job among those given; the same in all events.
    """

    job: int


@dataclass(frozen=True)
class Told:
    """A job has sent a message."""

    job: int
    value: Any


@dataclass(frozen=True)
class Done:
    """A job has ended, with the value of its function."""

    job: int
    value: Any


@dataclass(frozen=True)
class Died:
    """A job has ended without a value.

    Attributes
    ----------
    exit_code
        Of the worker process that was lost: negative for a signal; None where the worker lives on, or is not known.
    error
        The exception of the function, with its traceback; empty where the worker was lost.
    lost
        A sentence on how workers were lost, where the executor gave the job to several of them; else empty.
    """

    job: int
    exit_code: int | None = None
    error: str = ""
    lost: str = ""

    @property
    def reason(self) -> str:
        """One sentence, without a full stop."""
        if self.lost:
            return self.lost
        if self.error:
            return f"it raised {self.error.strip().splitlines()[-1]}"
        killed = self.exit_code is not None and self.exit_code < 0
        how = f"was killed by signal {-(self.exit_code or 0)}" if killed else f"ended with exit code {self.exit_code}"
        return f"its process {how}"


Event = Started | Told | Done | Died


class Executor(Protocol):
    """Runs jobs, here or elsewhere.

    Every job starts once and ends once, as done or as died; its messages come between, as they are sent where its
    worker is another process. A lost worker takes its own job along and no other; an executor may give that job to
    another worker, and its messages then come again. Workers have one thread each unless the executor is told
    otherwise, so that numbers do not depend on how many there are. Closing the iterator, or an exception in the loop
    over it (Ctrl-C), ends what the workers do.
    """

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Run jobs; yields events as they come."""
