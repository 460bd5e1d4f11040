"""Part of the scheduler's process: what it must do otherwise with jobs of mfbench."""

from __future__ import annotations

from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

PREFIX = "mfbench-"
"""Begin of the keys of jobs, and of the topics of their events."""


class Watch(SchedulerPlugin):
    """Leaves lost jobs to the caller, who gives them out again with their newest checkpoints, and forgets events.

    Without it the scheduler would start a job again with its first argument, and so often as it is set up to; it would
    also keep the last messages of each job, which can be large.
    """

    name = "mfbench"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Take note of the scheduler."""
        self._scheduler = scheduler
        self._given: set[str] = set()

    def transition(self, key: Any, start: str, finish: str, *args: Any, **options: Any) -> None:
        """Let the loss of its first worker be the end of a job, and tell the caller of one that is moved."""
        if not isinstance(key, str) or not key.startswith(PREFIX):
            return
        if finish == "forgotten":
            self._given.discard(key)
        elif finish == "processing":
            self._scheduler.tasks[key].suspicious = self._scheduler.allowed_failures
            if key in self._given:  # its worker was closed in good order, as when there are fewer to be
                topic, job, attempt = key.rsplit("-", 2)
                self._scheduler.log_event(topic, (int(job), int(attempt), "moved", b""))
            self._given.add(key)

    def log_event(self, topic: str, msg: Any) -> None:
        """Forget an event once it is sent."""
        if topic.startswith(PREFIX):
            self._scheduler._broker.truncate(topic)
