"""Jobs of a batch system that is a script: it takes jobs, refuses them, or takes them and runs nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed")

from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from mfbench.benchmarks.harness.executors.base import Done, Job
from mfbench.benchmarks.harness.executors.cluster import batch
from mfbench.benchmarks.harness.executors.cluster.batch import BatchJobs
from mfbench.benchmarks.harness.executors.cluster.cluster_file import ClusterFile
from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor
from mfbench.benchmarks.harness.executors.cluster.places import LOOPBACK, Workers
from mfbench.mfcore.errors import ConfigError

HERE = f"export PYTHONPATH={Path(__file__).parents[2]}"  # of the function that is computed
FILE = ClusterFile(system="slurm", interface="lo", memory="2GB", walltime="00:10:00", environment=(HERE,))
RUN = 'cp "$1" "$HERE/script"; setsid bash "$HERE/script" > "$HERE/out" 2>&1 & echo $! > "$HERE/job"; echo job 1'
CANCEL = 'echo "$@" >> "$HERE/cancelled"; kill -- -$(cat "$HERE/job")'

pytestmark = pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="dask_jobqueue is not installed")
Write = Callable[[str], BatchJobs]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Make a batch system of what its `sbatch` does with a script."""

    def made(submit: str) -> BatchJobs:
        for name, lines in {"sbatch": submit, "scancel": CANCEL}.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/bash\nHERE={tmp_path}\n{lines}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return BatchJobs(FILE, tmp_path / "logs")

    return made


def square(number: int, tell: Callable[[object], None]) -> int:
    return number**2


def ended(place: BatchJobs, tell: Callable[[Workers], object] = lambda workers: None) -> list[int]:
    executor = DaskExecutor(place, tell=tell)
    events = list(executor.run([Job(square, 3)]))
    return [event.value for event in events if isinstance(event, Done)]


def test_a_job_that_the_system_takes_computes(system: Write, tmp_path: Path) -> None:
    assert ended(system(RUN)) == [9]
    assert (tmp_path / "cancelled").read_text() == "1\n"


def test_a_system_that_takes_no_job_ends_the_command_with_what_it_said(system: Write) -> None:
    place = system("echo sbatch: error: invalid partition specified: shrot >&2; exit 1")
    with pytest.raises(ConfigError, match=r"sbatch has accepted no job: .*invalid partition specified: shrot\."):
        ended(place)


def test_a_system_that_does_not_answer_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(ProcessInterface):  # type: ignore[misc]
        async def start(self) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(batch, "_ANSWER_S", 0.1)
    said = batch._Submissions("slurm")
    job = batch._told(Hangs, said)()
    with pytest.raises(TimeoutError):
        asyncio.run(job.start())
    assert said.refusal() == "sbatch has accepted no job: no answer for 0 s."
    assert job.status == Status.failed


def test_a_refusal_between_jobs_is_no_end(system: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_AGAIN_S", 0.2)
    said = batch._Submissions("slurm", accepted=1)
    monkeypatch.setattr(batch, "_Submissions", lambda system: said)
    assert ended(system(f'if mkdir "$HERE/once" 2>/dev/null; then echo busy >&2; exit 1; fi; {RUN}')) == [9]
    assert said.accepted == 2
    assert ["busy" in refusal for refusal in said.refusals] == [True]


def test_jobs_without_a_worker_are_told_of(system: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_QUIET_S", 0.5)
    monkeypatch.setattr("mfbench.benchmarks.harness.executors.cluster.executor._LOOK_S", 0.2)
    told: list[Workers] = []

    def leave(workers: Workers) -> None:
        told.append(workers)
        if workers.awaited:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ended(system("echo job 1"), leave)
    assert f"what they print is in {tmp_path / 'logs'}" in told[-1].awaits


def test_all_listens_on_the_interface_and_the_page_on_the_loopback_one(system: Write) -> None:
    def look(workers: Workers) -> None:
        listening = {c.laddr.ip for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        assert listening == {LOOPBACK}
        assert workers.dashboard.startswith((f"http://{LOOPBACK}:", ""))

    assert ended(system(RUN), look) == [9]
