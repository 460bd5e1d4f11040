"""Run sessions: build the contenders, let them take turns, keep every round, then measure memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from mfbench.benchmarks.performance.contenders.registry import CONTENDERS
from mfbench.benchmarks.performance.harness.process import Answering, Worker, WorkerFailed
from mfbench.benchmarks.performance.harness.progress import Told
from mfbench.benchmarks.performance.harness.rounds import turns
from mfbench.benchmarks.performance.harness.store import Record, ResultsFile, key_of, now
from mfbench.benchmarks.performance.measure import machine
from mfbench.benchmarks.performance.speed.settings import QUANTITIES, Job, Session, sources
from mfbench.benchmarks.performance.workloads import CUTOFF, workload

_WORKER = "mfbench.benchmarks.performance.speed.worker"

#: By thread count (as text, for JSON), contender and quantity: wall s, CPU s and number of calls.
Round = dict[str, dict[str, dict[str, dict[str, float]]]]


def session_key(session: Session) -> str:
    """Hash of all that must be the same for rounds to stand beside each other."""
    return key_of({"session": session.as_dict(), "network": session.network.__dict__}, sources())


def place_of(record: Record) -> tuple[Any, ...]:
    """Contenders, workload, network and threads: a file has one record of each."""
    session = record["session"]
    return tuple(str(session[name]) for name in ("workload", "variant", "threads", "device", "contenders"))


def counts_of(name: str) -> dict[str, int]:
    """Frames, atoms and edges of a workload."""
    from mfbench.mfcore.data.graphs import neighbour_list

    frames = workload(name)
    return {
        "n_frames": len(frames),
        "n_atoms": sum(len(atoms) for atoms in frames),
        "n_edges": sum(len(neighbour_list(atoms, CUTOFF)[0]) for atoms in frames),
    }


def new_record(session: Session, key: str) -> Record:
    """Return a session without rounds."""
    return {
        "key": key,
        "session": session.as_dict(),
        "network": {**session.network.__dict__, "radial_hidden": list(session.network.radial_hidden)},
        **counts_of(session.workload),
        "machine": machine(),
        "contenders": {},
        "rounds": [],
        "date": now(),
    }


def worker_of(job: Job, python: str) -> Worker:
    """The process of one contender, built."""
    return Worker(_WORKER, job.as_dict(), python, job.threads)


def job_of(session: Session, name: str) -> Job:
    """The job of one contender's process."""
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
            workers[name] = worker_of(job_of(session, name), interpreters.get(name, sys.executable))
            warm[name] = workers[name].ask(what="warm", threads=list(session.threads))["warm_s"]
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


def one_round(
    workers: Mapping[str, Answering],
    threads: Sequence[int],
    number: int,
    seconds: float,
    told: Callable[[str], None] = lambda name: None,
) -> tuple[Round, dict[str, str]]:
    """Measure every contender once.

    Parameters
    ----------
    workers
        Contenders that are warm.
    threads
        Thread counts.
    number
        Of the round, from 0.
    seconds
        Wall time of each measurement; one call where a call takes longer.
    told
        Called with a contender's name after each of its turns.

    Returns
    -------
    times, failed
        Of those that answered, and by contender why it did not.
    """
    made: Round = {}
    failed: dict[str, str] = {}
    for count in threads:
        made[str(count)] = here = {}
        for name in turns(list(workers), number):
            if name not in failed:
                try:
                    here[name] = {
                        what: workers[name].ask(what=what, threads=count, seconds=seconds) for what in QUANTITIES
                    }
                except WorkerFailed as error:
                    failed[name] = str(error)
            told(name)
    for times in made.values():  # a round has all of a contender or nothing
        for name in failed:
            times.pop(name, None)
    return made, failed


def asked_memory(job: Job, python: str, quantities: Sequence[str] = QUANTITIES) -> dict[str, Any]:
    """Peak bytes of each call in a fresh process and the versions there, or the reason why there are none."""
    try:
        worker = worker_of(job, python)
    except WorkerFailed as error:
        return {"reason": str(error)}
    try:
        return {**worker.ask(what="memory", quantities=list(quantities)), "versions": worker.about["versions"]}
    except WorkerFailed as error:
        return {"reason": str(error)}
    finally:
        worker.close()


def run(
    session: Session,
    interpreters: Mapping[str, str],
    rounds: int,
    seconds: float,
    memory: bool,
    out: ResultsFile,
    told: Told,
) -> Record:
    """Add the rounds that a session lacks, and return its record.

    Parameters
    ----------
    session
        To compare.
    interpreters
        Python by contender; the present one where there is none.
    rounds
        That the record shall have.
    seconds
        Wall time of each measurement.
    memory
        Measure peak memory, too.
    out
        Results file.
    told
        Of the progress.
    """
    key = session_key(session)
    record = out.by_key().get(key) or new_record(session, key)
    if len(record["rounds"]) < rounds:
        told.doing(f"{session.title}: building networks")
        with workers_of(session, interpreters) as (workers, failed, warm):
            if _others(record, {name: worker.about for name, worker in workers.items()}):
                record = new_record(session, key)
            for name in session.contenders:
                old = record["contenders"].get(name, {})
                if name in workers:
                    record["contenders"][name] = {**old, **workers[name].about, "warm_s": warm[name], "status": "ok"}
                else:
                    record["contenders"][name] = {**old, "status": "failed", "reason": failed[name]}
                    told.failed(f"{CONTENDERS[name].label}, {session.title}: {failed[name]}")
            for number in range(len(record["rounds"]), rounds):
                made, broken = one_round(
                    workers,
                    session.threads,
                    number,
                    seconds,
                    lambda name: told.done(record["n_atoms"], f"{session.title}: {name}"),
                )
                for name, reason in broken.items():
                    record["contenders"][name].update(status="failed", reason=reason)
                    workers.pop(name)
                    told.failed(f"{CONTENDERS[name].label}, {session.title}: {reason}")
                record["rounds"].append(made)
                out.keep(record, place_of)
                told.stored(f"{session.title}: round {number + 1}")
            for name in [n for n in workers if memory and CONTENDERS[n].compiled]:
                record["contenders"][name]["peak_memory_bytes"] = _memory_of(workers[name])
    if memory:
        _add_memory(session, record, interpreters, out, told)
    return record


def _memory_of(worker: Answering) -> dict[str, Any]:
    try:
        return worker.ask(what="memory")
    except WorkerFailed as error:
        return {"reason": str(error)}


def _others(record: Mapping[str, Any], about: Mapping[str, Mapping[str, Any]]) -> bool:
    """Say if the stored rounds are of other contenders, or of other versions of their packages."""
    stored = {n: c["versions"] for n, c in record["contenders"].items() if c["status"] == "ok"}
    return bool(record["rounds"]) and stored != {name: values["versions"] for name, values in about.items()}


def _add_memory(
    session: Session, record: Record, interpreters: Mapping[str, str], out: ResultsFile, told: Told
) -> None:
    about = record["contenders"]
    names = [n for n in session.contenders if about.get(n, {}).get("status") == "ok"]
    lacking = [n for n in names if "peak_memory_bytes" not in about[n]]
    if lacking:
        told.doing(f"{session.title}: peak memory")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = pool.map(lambda n: asked_memory(job_of(session, n), interpreters.get(n, sys.executable)), lacking)
        for name, peak in zip(lacking, found, strict=True):
            peak.pop("versions", None)  # they stand beside it
            about[name]["peak_memory_bytes"] = peak
            out.keep(record, place_of)
    out.keep(record, place_of)
