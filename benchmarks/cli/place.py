"""The options that say where runs are computed: processes of this machine, or a Dask cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from mfbench.benchmarks.harness.executors.base import Executor
    from mfbench.benchmarks.harness.executors.cluster.places import Place, Workers
    from mfbench.benchmarks.harness.runner import Sharing


class Kind(StrEnum):
    """Executors."""

    local = "local"
    dask = "dask"


ExecutorKind = Annotated[
    Kind,
    typer.Option(
        "--executor",
        help="Processes of this machine, or workers of Dask: those of --scheduler, of --cluster, or one a GPU of this "
        "machine (a core, where there is no GPU). Needs the extra `dask`.",
    ),
]
SchedulerAddress = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask scheduler that runs, as in tcp://10.0.0.1:8786."),
]
ClusterPath = Annotated[
    Path | None,
    typer.Option("--cluster", metavar="FILE", help="YAML file of jobs of Slurm, PBS, SGE or LSF (docs/cluster.md)."),
]
NoSharedFolder = Annotated[
    bool,
    typer.Option(
        "--no-shared-folder",
        help="Workers do not see the files of this machine: all that they need goes over the network.",
    ),
]
TlsCaFile = Annotated[Path | None, typer.Option("--tls-ca-file", help="Certificate authority, for a tls:// scheduler.")]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", help="Certificate, likewise.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Key of the certificate, likewise.")]


@dataclass(frozen=True)
class Where:
    """Where runs are computed, and how many at once.

    Attributes
    ----------
    workers
        Runs at once at most; None: as many as there are cores of this machine, or workers of the cluster.
    place
        Workers of Dask; None: processes of this machine.
    known
        Number of workers of the place, as far as it is known before.
    apart
        Whether workers do not see the files of this machine.
    needs
        Resources of Dask that a run takes, and their amounts.
    """

    workers: int | None = None
    place: Place | None = None
    known: int | None = None
    apart: bool = False
    needs: tuple[tuple[str, float], ...] = ()

    def processes(self, jobs: int) -> int:
        """Number of so many jobs that are expected to run at once."""
        from mfbench.benchmarks.harness.executors.factory import default_workers

        most = [n for n in (self.workers, self.known) if n is not None] or [default_workers()]
        return min(*most, max(1, jobs)) if self.place is not None else min(most[0], max(1, jobs))

    def executor(self, console: Console, jobs: int) -> Executor:
        """Make the executor of so many jobs."""
        from mfbench.benchmarks.harness.executors.factory import make_executor

        if self.place is None:
            return make_executor(self.processes(jobs))
        from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor

        return DaskExecutor(
            self.place,
            self.workers,
            dict(self.needs),
            strictly_apart=self.apart,
            tell=lambda workers: _say(console, workers),
        )

    @property
    def sharing(self) -> Sharing:
        """How the processes get at checkpoints."""
        from mfbench.benchmarks.harness.runner import Sharing

        if self.place is None:
            return Sharing.local
        return Sharing.nothing if self.apart else Sharing.folder


def where(
    workers: int | None,
    executor: Kind,
    scheduler: str | None,
    cluster: Path | None,
    apart: bool,
    tls: tuple[Path | None, Path | None, Path | None],
    logs: Path,
) -> Where:
    """Read the options, and check what can be checked before anything is computed.

    Parameters
    ----------
    tls
        Certificate authority, certificate and key.
    logs
        Folder for what jobs of a batch system print.

    Raises
    ------
    ConfigError
        Names the option, or the file and its key.
    """
    from mfbench.mfcore.errors import ConfigError

    given = {"--scheduler": scheduler, "--cluster": cluster, "--no-shared-folder": apart or None}
    given |= dict(zip(("--tls-ca-file", "--tls-cert", "--tls-key"), tls, strict=True))
    if executor is Kind.local:
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"{name}: it is for workers of Dask; give --executor dask, too.")
        return Where(workers)
    if scheduler is not None and cluster is not None:
        raise ConfigError("--scheduler and --cluster: workers are in one place or the other; give one of them.")
    for package in ("distributed", "dask_jobqueue"):  # not imported: dask_jobqueue would take Ctrl-C
        if find_spec(package) is None:
            raise ConfigError(f"--executor dask: {package} is not installed: pip install 'mfbench[dask]'.")
    from mfbench.benchmarks.harness.executors.cluster.places import (
        RunningScheduler,
        ThisMachine,
        has_dashboard,
        security_of,
        visible_gpus,
    )

    security = security_of(*(None if path is None else str(path) for path in tls))
    if scheduler is not None:
        _check_address(scheduler, encrypted=security is not None)
        return Where(workers, RunningScheduler(scheduler, security), None, apart)
    if cluster is not None:
        from mfbench.benchmarks.harness.executors.cluster.batch import BatchJobs
        from mfbench.benchmarks.harness.executors.cluster.cluster_file import read_cluster
        from mfbench.benchmarks.harness.prepare import plan_for

        file = read_cluster(cluster)
        place = BatchJobs(file, logs, security)
        try:
            place.check()
        except ConfigError as error:
            raise ConfigError(f"{cluster}: {error}") from error
        if file.gpus:
            plan_for("cuda")
        return Where(workers, place, file.jobs * file.runs, apart, tuple(file.needs.items()))
    from mfbench.benchmarks.harness.executors.factory import default_workers

    gpus = visible_gpus()
    number = workers or len(gpus) or default_workers()
    if gpus and number > len(gpus):
        raise ConfigError(f"--workers {number}: this machine has {len(gpus)} GPU(s), and a run takes one.")
    needs = (("GPU", 1.0),) if gpus else ()
    return Where(number, ThisMachine(number, gpus, has_dashboard(), security), number, apart, needs)


def _check_address(address: str, *, encrypted: bool) -> None:
    from urllib.parse import urlsplit

    from mfbench.mfcore.errors import ConfigError

    try:
        parts = urlsplit(address)
        whole = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:
        whole = None
    if not whole:
        raise ConfigError(f"--scheduler {address}: expected tcp://HOST:PORT or tls://HOST:PORT.")
    if encrypted != (parts.scheme == "tls"):
        raise ConfigError(
            f"--scheduler {address}: tls:// takes --tls-ca-file, --tls-cert and --tls-key, and tcp:// does not."
        )


def _say(console: Console, workers: Workers) -> None:
    if workers.awaited:
        console.print(workers.awaits, markup=False, highlight=False, soft_wrap=True)
        return
    page = f"; its dashboard: {workers.dashboard}" if workers.dashboard else ""
    console.print(f"Dask scheduler: {workers.address}{page}", markup=False, highlight=False, soft_wrap=True)
