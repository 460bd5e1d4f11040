"""Workers in jobs of a batch system: Slurm, PBS, SGE or LSF, through dask-jobqueue."""

from __future__ import annotations

import importlib
import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Security

from mfbench.benchmarks.harness.executors.cluster.cluster_file import (
    ClusterFile,
    address_on,
    bytes_of,
    seconds_of,
)
from mfbench.benchmarks.harness.executors.cluster.places import LOOPBACK, Workers, client_of, has_dashboard
from mfbench.mfcore.errors import ConfigError

_COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub"}


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
        # a worker that is lost may come back with a job that is queued
        with dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}), closing(self._cluster()) as cluster:
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
                dashboard=str(cluster.dashboard_link) if has_dashboard() else "",
            )

    def _cluster(self) -> Any:
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
        return getattr(dask_jobqueue, kinds[file.system])(**options)

    def script(self) -> str:
        """The script of a job, as it is submitted."""
        with closing(self._cluster()) as cluster:
            return str(cluster.job_script())


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
