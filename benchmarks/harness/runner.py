"""Runs what a plan lacks: skips stored runs, computes the rest in parallel, keeps the failures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from mfbench.benchmarks.harness.elsewhere import (
    ApartRequest,
    KeptFile,
    SharedRequest,
    apart_request,
    execute_apart,
    execute_shared,
)
from mfbench.benchmarks.harness.execute import RunRequest, execute
from mfbench.benchmarks.harness.execute import failed as failed_run
from mfbench.benchmarks.harness.executors.base import Died, Executor, Job, Started, Told
from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.memory import expected_memory
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun
from mfbench.benchmarks.harness.store import PackedRun, RunStore
from mfbench.mfcore.errors import MfbenchError
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


def unused(planned: Sequence[PlannedRun], store: RunStore) -> str:
    """Say how many stored runs of a plan's arms and draws are not those of the plan; "" if there are none."""
    n = store.superseded({digest(run.spec.cell()): run.key for run in planned})
    if not n:
        return ""
    return (
        f"{n} {'run' if n == 1 else 'runs'} in {store.root} of the same arms and draws {'stays' if n == 1 else 'stay'} "
        "there unused: the code of mfbench, the settings or the data were others."
    )


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


class Sharing(StrEnum):
    """How the processes that compute runs get at checkpoints."""

    local = "local"
    """They are of this machine."""
    folder = "folder"
    """They are of others, which see the folder of the runs."""
    nothing = "nothing"
    """They are of others, which do not: files go with runs and come back as messages."""


def run_all(
    todo: Sequence[PlannedRun],
    planned: Sequence[PlannedRun],
    store: RunStore,
    monitor: Monitor,
    executor: Executor,
    sharing: Sharing = Sharing.local,
) -> list[tuple[PlannedRun, str]]:
    """Compute runs and store each as it ends: only this process writes runs, and each once.

    Parameters
    ----------
    todo
        The runs to compute.
    planned
        All runs of the plan: they are what reports of this folder then show.
    executor
        Computes them; with one thread a run, so that numbers do not depend on how many are computed at once.
    sharing
        How its processes get at checkpoints.

    Returns
    -------
    list
        The runs that failed, with reasons.

    Raises
    ------
    StorageError
        If the disk is full or cannot be written to: the other runs would meet the same. What has finished is stored.
    ConfigError
        If the executor has no workers (any more), or these would compute runs otherwise than they were planned.
    """
    failed: list[tuple[PlannedRun, str]] = []
    with only_writer(store.root):
        store.sweep()
        store.note_plan({digest(run.spec.cell()): run.key for run in planned})
        common: dict[Hashable | None, set[str]] = {}
        for event in executor.run([_job(run, store, sharing, common) for run in todo]):
            run = todo[event.job]
            if isinstance(event, Started):
                monitor.started(run)
            elif isinstance(event, Told):
                _take_note(run, event.value, store, monitor, common)
            else:
                ended = _died(run, event) if isinstance(event, Died) else event.value
                if isinstance(ended, MfbenchError):
                    raise ended
                store.put(ended)
                if ended.reason is not None:
                    failed.append((run, ended.reason))
                monitor.ended(run, ended.reason)
        store.drop_shared()
    return failed


def _job(run: PlannedRun, store: RunStore, sharing: Sharing, common: Mapping[Hashable | None, set[str]]) -> Job:
    name = shares(run.spec)
    if sharing is Sharing.local:
        return Job(execute, RunRequest(run, store.root), name)
    memory = expected_memory(run)
    if sharing is Sharing.folder:
        return Job(execute_shared, SharedRequest(run, store.root.absolute(), Path.cwd()), name, memory=memory)

    def fresh() -> ApartRequest:
        return apart_request(run, store, frozenset(common.get(name, ())))

    return Job(execute_apart, None, name, fresh, memory)


def _take_note(
    run: PlannedRun, message: Any, store: RunStore, monitor: Monitor, common: dict[Hashable | None, set[str]]
) -> None:
    """Keep a checkpoint, or pass on what a run has spent."""
    if not isinstance(message, KeptFile):
        monitor.spent(run, message)
        return
    message.keep(store)
    folder, _, file = message.name.partition("/")
    if folder == store.shared.name:
        common.setdefault(shares(run.spec), set()).add(file)


def _died(run: PlannedRun, event: Died) -> PackedRun:
    """The end of a run that has none of its own."""
    reason = f"{event.reason}."
    if not event.error:
        reason = f"{event.reason}; if the machine ran out of memory, use fewer --workers."
    return failed_run(run, reason, event.error, 0.0)


def shares(spec: RunSpec) -> Hashable | None:
    """Name what a run trains that others need too: computed at the same time, it would be computed twice."""
    if not arm_class(spec.arm).shares_low_stage:
        return None
    regime = spec.regime.model_dump_json(exclude={"n_high"})
    return (spec.task, regime, spec.budget, spec.seed, spec.draw, spec.core_name)
