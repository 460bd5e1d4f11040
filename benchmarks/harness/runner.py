"""Runs what a plan lacks: skips stored runs, computes the rest in parallel, keeps the failures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mfbench.benchmarks.harness.execute import RunRequest, execute, store_failure
from mfbench.benchmarks.harness.executors.base import Died, Executor, Job, Started, Told
from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun
from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.errors import StorageError
from mfbench.mfcore.locks import only_one
from mfbench.strategies.registry import arm_class


class Monitor(Protocol):
    """Is told how the runs get on; weights are atom gradients."""

    def started(self, run: PlannedRun) -> None:
        """A run began."""

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        """A run has spent so much of its budget."""

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        """A run ended; with a reason if it failed."""


@dataclass(frozen=True)
class Pending:
    """A plan beside what is stored.

    Attributes
    ----------
    stored
        Finished before; nothing to do.
    failed
        Failed before, with the reason; only computed again if asked for.
    todo
        To be computed.
    """

    stored: list[PlannedRun] = field(default_factory=list)
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    todo: list[PlannedRun] = field(default_factory=list)


def pending(planned: Sequence[PlannedRun], store: RunStore, *, retry_failed: bool = False) -> Pending:
    """Compare a plan with what is stored.

    Raises
    ------
    DataError
        If a stored run cannot be read.
    """
    result = Pending()
    for run in planned:
        status = store.status(run.key)
        if status == "finished":
            result.stored.append(run)
        elif status == "failed" and not retry_failed:
            result.failed.append((run, str(store.load(run.key).record["reason"])))
        else:
            result.todo.append(run)
    return result


@contextmanager
def only_writer(root: Path) -> Iterator[None]:
    """Hold a folder of runs for this process; the system frees it when the process ends, however it ends.

    Raises
    ------
    ConfigError
        If another process holds it.
    StorageError
        If it cannot be written to.
    """
    taken = f"{root}: another mfbench is computing runs into it; wait for it or give another --out."
    with only_one(root / ".lock", taken):
        yield


def run_all(
    todo: Sequence[PlannedRun], planned: Sequence[PlannedRun], store: RunStore, monitor: Monitor, executor: Executor
) -> list[tuple[PlannedRun, str]]:
    """Compute runs and store each as it ends.

    Parameters
    ----------
    todo
        The runs to compute.
    planned
        All runs of the plan: they are what reports of this folder then show.
    executor
        Computes them; with one thread a run, so that numbers do not depend on how many are computed at once.

    Returns
    -------
    list
        The runs that failed, with reasons.

    Raises
    ------
    StorageError
        If the disk is full or cannot be written to: the other runs would meet the same. What has finished is stored.
    """
    failed: list[tuple[PlannedRun, str]] = []
    with only_writer(store.root):
        store.sweep()
        store.note_plan({digest(run.spec.cell()): run.key for run in planned})
        jobs = [Job(execute, RunRequest(run, store.root), shares(run.spec)) for run in todo]
        for event in executor.run(jobs):
            run = todo[event.job]
            if isinstance(event, Started):
                monitor.started(run)
                continue
            if isinstance(event, Told):
                monitor.spent(run, event.value)
                continue
            reason: str | None
            if isinstance(event, Died):
                reason = f"{event.reason}."
                if not event.error:
                    reason = f"{event.reason}; if the machine ran out of memory, use fewer --workers."
                store_failure(run, store, reason, event.error, 0.0)
            elif event.value.disk_fault:
                raise StorageError(event.value.reason)
            else:
                reason = event.value.reason
            if reason is not None:
                failed.append((run, reason))
            monitor.ended(run, reason)
        store.drop_shared()
    return failed


def shares(spec: RunSpec) -> Hashable | None:
    """Name what a run trains that others need too: computed at the same time, it would be computed twice."""
    if not arm_class(spec.arm).shares_low_stage:
        return None
    return (spec.task, spec.seed, spec.draw)
