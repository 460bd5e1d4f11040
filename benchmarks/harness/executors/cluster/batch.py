"""Workers in jobs of a batch system: Slurm, PBS, SGE or LSF, through dask-jobqueue."""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
from distributed import Security
from distributed.core import Status

from mfbench.benchmarks.harness.executors.cluster.cluster_file import (
    ClusterFile,
    address_on,
    bytes_of,
    seconds_of,
)
from mfbench.benchmarks.harness.executors.cluster.places import (
    LOOPBACK,
    Workers,
    client_of,
    dashboard_of,
    has_dashboard,
)
from mfbench.mfcore.errors import ConfigError

_COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub"}
_QUEUES = {"slurm": "squeue --me", "pbs": "qstat", "sge": "qstat", "lsf": "bjobs"}
_ANSWER_S = 120.0
"""Time that the batch system may take to accept a job, s."""
_AGAIN_S = 30.0
"""Time after which a job is submitted again that was refused while others had been accepted, s."""
_QUIET_S = 60.0
"""Time without a worker after which the user is told, s."""


@dataclass
class _Submissions:
    """Answers of the batch system to submitted jobs."""

    system: str
    accepted: int = 0
    refusals: list[str] = field(default_factory=list)

    def refusal(self) -> str:
        """Why no worker will come; "" if a job has been accepted, or none was submitted yet."""
        if self.accepted or not self.refusals:
            return ""
        return f"{_COMMANDS[self.system]} has accepted no job: {self.refusals[-1]}."


@dataclass(frozen=True)
class BatchJobs:
    """Jobs that come as they are needed, and are cancelled at the end.

    Attributes
    ----------
    file
        Description of a job.
    logs
        Folder for what jobs print.
    security
        TLS; None: connections are not encrypted.
    """

    file: ClusterFile
    logs: Path
    security: Security | None = None

    @property
    def memory(self) -> int:
        """Memory that a worker may take, bytes."""
        return bytes_of(self.file.memory) // self.file.runs

    def check(self) -> None:
        """Refuse what cannot work here, before anything runs.

        Raises
        ------
        ConfigError
            If the batch system or the network interface is not there.
        """
        import shutil

        command = _COMMANDS[self.file.system]
        if shutil.which(command) is None:
            raise ConfigError(f"system: {self.file.system}: there is no command `{command}` on this machine.")
        address_on(self.file.interface, self.security is not None)

    @contextmanager
    def workers(self, wanted: int) -> Iterator[Workers]:
        """Submit jobs, more as there is work for them; at the end they are cancelled."""
        file = self.file
        most = min(file.jobs, math.ceil(max(1, wanted) / file.runs))
        said = _Submissions(file.system)
        # a worker that is lost may come back with a job that is queued
        with dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}), closing(self._cluster(said)) as cluster:
            if file.at_least >= most:
                cluster.scale(jobs=most)
            else:  # one worker for each run that is out: a run is long, and Dask does not know it
                cluster.adapt(
                    minimum_jobs=file.at_least,
                    maximum_jobs=most,
                    target_duration="10ms",
                    interval="2s",
                    wait_count=15,
                )
            address = str(cluster.scheduler_address)
            yield Workers(
                address,
                client_of(address, self.security),
                most=most * file.runs,
                own=True,
                dashboard=dashboard_of(cluster) if has_dashboard() else "",
                refusal=said.refusal,
                awaits="No worker has come yet: jobs wait in the queue, or have ended without one. "
                f"`{_QUEUES[file.system]}` lists them, and what they print is in {self.logs}.",
                patience_s=_QUIET_S,
            )

    def _cluster(self, said: _Submissions) -> Any:
        file, dask_jobqueue = self.file, _jobqueue()
        kinds = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster"}
        workers = ["--no-dashboard", *(["--resources", f"GPU={file.gpus}"] if file.gpus else [])]
        options: dict[str, Any] = {
            "cores": file.runs,
            "processes": file.runs,
            "memory": file.memory,
            "queue": file.queue,
            "walltime": file.walltime,
            "interface": file.interface,
            "job_name": "mfbench",
            "job_extra_directives": [*file.options, *_gpu_directives(file)],
            "job_script_prologue": list(file.environment),
            "worker_extra_args": workers,
            "log_directory": str(self.logs),
            "local_directory": file.scratch,
            "python": file.python or sys.executable,
            "scheduler_options": {
                "host": address_on(file.interface, self.security is not None),
                "dashboard_address": f"{LOOPBACK}:0",
            },
            "silence_logs": logging.CRITICAL,
        }
        if file.account is not None:
            options["project" if file.system in ("sge", "lsf") else "account"] = file.account
        if file.system == "lsf":
            options["walltime"] = _hours_and_minutes(file.walltime)
        if self.security is not None:
            options |= {"security": self.security, "protocol": "tls://"}
        kind = getattr(dask_jobqueue, kinds[file.system])
        return kind(job_cls=_told(kind.job_cls, said), **options)

    def script(self) -> str:
        """The script of a job, as it is submitted."""
        with closing(self._cluster(_Submissions(self.file.system))) as cluster:
            return str(cluster.job_script())


def _told(job_class: Any, said: _Submissions) -> Any:
    """A job of dask-jobqueue that keeps what it is told at its submission; by itself a refusal would be lost."""

    class Told(job_class):  # type: ignore[misc]
        async def start(self) -> None:
            while True:
                try:
                    await asyncio.wait_for(super().start(), _ANSWER_S)
                except (OSError, RuntimeError, ValueError, TimeoutError) as error:
                    said.refusals.append(_reason(error))
                    if not said.accepted:
                        self.status = Status.failed  # or the cluster could not be closed
                        raise
                    await asyncio.sleep(_AGAIN_S)
                else:
                    said.accepted += 1
                    return

    return Told


def _reason(error: BaseException) -> str:
    """The output of a batch system, from an error of dask-jobqueue's that quotes it."""
    if isinstance(error, TimeoutError):
        return f"no answer for {_ANSWER_S:.0f} s"
    text = str(error)
    printed = text.partition("stderr:")[2].strip() or text.strip() or type(error).__name__
    return " ".join(printed.split())[:500].rstrip(".")


def _jobqueue() -> Any:
    """Import dask_jobqueue, and take its handler of Ctrl-C back, by which a command would end as if it were done."""
    before = signal.getsignal(signal.SIGINT)
    module = importlib.import_module("dask_jobqueue")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, before)
    return module


def _gpu_directives(file: ClusterFile) -> list[str]:
    if not file.gpus:
        return []
    return {
        "slurm": ["--gres=gpu:1"],
        "pbs": ["-l ngpus=1"],
        "sge": ["-l gpu=1"],
        "lsf": ['-gpu "num=1"'],
    }[file.system]


def _hours_and_minutes(walltime: str) -> str:
    minutes = math.ceil(seconds_of(walltime) / 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
