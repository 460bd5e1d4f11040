"""The order in which jobs are given to workers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class Waiting:
    """Jobs that no worker has, in order, and the names of those that run apart from others.

    Parameters
    ----------
    apart
        The name of each job, or None (:class:`mfbench.benchmarks.harness.executors.base.Job`).
    strictly
        Whether a job waits, also when there is no other, until one of its name has been done.
    """

    def __init__(self, apart: Sequence[Hashable | None], strictly: bool = False) -> None:
        self._apart, self._strictly = apart, strictly
        self._jobs = dict.fromkeys(range(len(apart)))
        self._running: list[Hashable] = []
        self._open: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def next(self) -> int | None:
        """Take a job out: the first that may run, or else, unless names are kept strictly, the first; None if none."""
        index = next((i for i in self._jobs if self._is_free(self._apart[i])), None)
        if index is None and not self._strictly:
            index = next(iter(self._jobs), None)
        if index is None:
            return None
        del self._jobs[index]
        if (name := self._apart[index]) is not None:
            self._running.append(name)
        return index

    def _is_free(self, name: Hashable | None) -> bool:
        return name not in self._running or (self._strictly and name in self._open)

    def ended(self, job: int, done: bool = True) -> None:
        """A job that was taken runs no longer; it has left what others of its name need if it is done."""
        if (name := self._apart[job]) is not None:
            self._running.remove(name)
            if done:
                self._open.add(name)

    def again(self, job: int) -> None:
        """Put a job that was taken back, before all others."""
        self.ended(job, done=False)
        self._jobs = {job: None, **self._jobs}
