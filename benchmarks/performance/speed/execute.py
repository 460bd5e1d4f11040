"""Run sessions: build the contenders, let them take turns, keep every round, then measure memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mfbench.benchmarks.performance.speed.process import Answering, Worker, WorkerFailed
from mfbench.benchmarks.performance.speed.rounds import one_round
from mfbench.benchmarks.performance.speed.settings import CONTENDERS, Job, Session
from mfbench.benchmarks.performance.speed.store import keep, new_record, read, session_key
from mfbench.benchmarks.performance.workloads import CUTOFF, workload


class Told(Protocol):
    """Who is told how far a comparison is."""

    def building(self, session: Session) -> None:
        """Networks of a session are being built."""

    def turn(self, session: Session, name: str) -> None:
        """A contender has had a turn."""

    def round(self, session: Session, number: int) -> None:
        """A round is stored."""

    def failed(self, session: Session, name: str, reason: str) -> None:
        """A contender has failed."""


def counts_of(name: str) -> dict[str, int]:
    """Frames, atoms and edges of a workload."""
    from mfbench.mfcore.data.graphs import neighbour_list

    frames = workload(name)
    return {
        "n_frames": len(frames),
        "n_atoms": sum(len(atoms) for atoms in frames),
        "n_edges": sum(len(neighbour_list(atoms, CUTOFF)[0]) for atoms in frames),
    }


def job_of(session: Session, name: str) -> Job:
    """What the process of one contender is to do."""
    return Job(name, session.workload, session.network, max(session.threads), session.device)


@contextmanager
def workers_of(
    session: Session, interpreters: Mapping[str, str]
) -> Iterator[tuple[dict[str, Worker], dict[str, str], dict[str, float]]]:
    """Build and warm all contenders, as many at a time as there are cores; nothing is timed meanwhile.

    Yields
    ------
    workers, failed, warm_s
        Those that work, why the others do not, and how long the first calls took.
    """
    workers: dict[str, Worker] = {}
    failed: dict[str, str] = {}
    warm: dict[str, float] = {}

    def build(name: str) -> None:
        try:
            worker = Worker(job_of(session, name), interpreters.get(name, sys.executable))
        except WorkerFailed as error:
            failed[name] = str(error)
            return
        workers[name] = worker
        try:
            warm[name] = worker.ask(what="warm", threads=list(session.threads))["warm_s"]
        except WorkerFailed as error:
            failed[name] = str(error)

    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            # the slowest to build first
            order = sorted(session.contenders, key=lambda name: not CONTENDERS[name].compiled)
            list(pool.map(build, order))
        yield {n: workers[n] for n in session.contenders if n in workers and n not in failed}, failed, warm
    finally:
        for worker in workers.values():
            worker.close()


def peak_memory(session: Session, name: str, python: str) -> dict[str, Any]:
    """Peak bytes of each call in a fresh process, or why there are none."""
    try:
        worker = Worker(job_of(session, name), python)
    except WorkerFailed as error:
        return {"reason": str(error)}
    try:
        return _asked_memory(worker)
    finally:
        worker.close()


def _asked_memory(worker: Answering) -> dict[str, Any]:
    try:
        return worker.ask(what="memory")
    except WorkerFailed as error:
        return {"reason": str(error)}


def run(
    session: Session,
    interpreters: Mapping[str, str],
    rounds: int,
    seconds: float,
    memory: bool,
    out: Path,
    told: Told,
) -> dict[str, Any]:
    """Add the rounds that a session lacks, and return its record.

    Parameters
    ----------
    session
        What to compare.
    interpreters
        Python by contender; the present one where there is none.
    rounds
        That the record shall have.
    seconds
        Wall time of each measurement.
    memory
        Whether peak memory is measured, too.
    out
        Results file.
    told
        Who is told.
    """
    key = session_key(session)
    record = read(out).get(key)
    if record is None:
        record = new_record(session, key, counts_of(session.workload))
    if len(record["rounds"]) < rounds:
        told.building(session)
        with workers_of(session, interpreters) as (workers, failed, warm):
            if _others(record, {name: worker.about for name, worker in workers.items()}):
                record = new_record(session, key, counts_of(session.workload))
            for name in session.contenders:
                old = record["contenders"].get(name, {})
                if name in workers:
                    record["contenders"][name] = {**old, **workers[name].about, "warm_s": warm[name], "status": "ok"}
                else:
                    record["contenders"][name] = {**old, "status": "failed", "reason": failed[name]}
                    told.failed(session, name, failed[name])
            for number in range(len(record["rounds"]), rounds):
                made, broken = one_round(
                    workers, session.threads, number, seconds, lambda name: told.turn(session, name)
                )
                for name, reason in broken.items():
                    record["contenders"][name].update(status="failed", reason=reason)
                    workers.pop(name)
                    told.failed(session, name, reason)
                record["rounds"].append(made)
                keep(out, record)
                told.round(session, number)
            for name in [n for n in workers if memory and CONTENDERS[n].compiled]:
                record["contenders"][name]["peak_memory_bytes"] = _asked_memory(workers[name])
    if memory:
        _add_memory(session, record, interpreters, out, told)
    return record


def _others(record: Mapping[str, Any], about: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the stored rounds are of other contenders, or of other versions of their packages."""
    stored = {n: c["versions"] for n, c in record["contenders"].items() if c["status"] == "ok"}
    return bool(record["rounds"]) and stored != {name: values["versions"] for name, values in about.items()}


def _add_memory(
    session: Session, record: dict[str, Any], interpreters: Mapping[str, str], out: Path, told: Told
) -> None:
    about = record["contenders"]
    names = [n for n in session.contenders if about.get(n, {}).get("status") == "ok"]
    lacking = [n for n in names if "peak_memory_bytes" not in about[n]]
    if lacking:
        told.building(session)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = pool.map(lambda n: peak_memory(session, n, interpreters.get(n, sys.executable)), lacking)
        for name, peak in zip(lacking, found, strict=True):
            about[name]["peak_memory_bytes"] = peak
            keep(out, record)
    keep(out, record)
