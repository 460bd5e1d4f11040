"""The interface of an executor: jobs go in, events come out while they run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
    """

    function: Callable[[Any, Tell], Any]
    argument: Any
    apart: Hashable | None = None


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
    """

    job: int
    exit_code: int | None = None
    error: str = ""

    @property
    def reason(self) -> str:
        """One sentence, without a full stop."""
        if self.error:
            return f"it raised {self.error.strip().splitlines()[-1]}"
        killed = self.exit_code is not None and self.exit_code < 0
        how = f"was killed by signal {-(self.exit_code or 0)}" if killed else f"ended with exit code {self.exit_code}"
        return f"its process {how}"


Event = Started | Told | Done | Died


class Executor(Protocol):
    """Runs jobs, here or elsewhere.

    Every job starts once and ends once, as done or as died; its messages come between, as they are sent where its
    worker is another process. A lost worker takes its own job along and no other. Workers have one thread each unless
    the executor is told otherwise, so that numbers do not depend on how many there are. Closing the iterator, or an
    exception in the loop over it (Ctrl-C), ends the workers.
    """

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Run jobs; yields events as they come."""
