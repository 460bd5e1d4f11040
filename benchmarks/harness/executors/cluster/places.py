"""Where the workers of a Dask cluster are: behind a scheduler that runs, or on this machine."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

import dask
from distributed import Client, Nanny, Scheduler, Security, SpecCluster
from distributed.comm import get_address_host_port

from mfbench.mfcore.errors import ConfigError

LOOPBACK = "127.0.0.1"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

#: A worker that was lost comes back, however slow the machine is; Dask gives up on it after 15 s otherwise. What
#: workers log would be between the lines of the command.
_OWN = {
    "distributed.deploy.lost-worker-timeout": "1h",
    "distributed.worker.daemon": True,
    "distributed.nanny.pre-spawn-environ": ONE_THREAD | {"DASK_LOGGING__DISTRIBUTED": "critical"},
}


@dataclass(frozen=True)
class Workers:
    """Workers of a cluster while it is used.

    Attributes
    ----------
    address
        Of the scheduler.
    connect
        Makes a client; takes the time that it may take, s.
    most
        Workers that may come; 0 if that is not known.
    own
        Whether they end with this command.
    dashboard
        Address of the scheduler's page; "" if it has none.
    refusal
        Says why no worker will come, or "".
    awaits
        What to say when there is no worker that serves the jobs for so long; "": nothing.
    patience_s
        How long that is, s.
    awaited
        Whether it is time to say it.
    """

    address: str
    connect: Callable[[float], Client]
    most: int = 0
    own: bool = False
    dashboard: str = ""
    refusal: Callable[[], str] = lambda: ""
    awaits: str = ""
    patience_s: float = 0.0
    awaited: bool = False


class Place(Protocol):
    """Somewhere to have workers."""

    @property
    def memory(self) -> int:
        """Memory that a worker may take, bytes; 0 if there is no limit, or it is not known before there are workers."""

    def workers(self, wanted: int) -> AbstractContextManager[Workers]:
        """Have workers, as many as wanted if they are one's own; at the end they are let go."""


def client_of(address: str, security: Security | None) -> Callable[[float], Client]:
    """Return what makes clients of a scheduler."""
    host, port = get_address_host_port(address)

    def connect(timeout_s: float) -> Client:
        # a client that cannot connect is closed with difficulty, above all when it is interrupted
        socket.create_connection((host, port), timeout_s).close()
        options: dict[str, Any] = {} if security is None else {"security": security}
        return Client(address, timeout=timeout_s, set_as_default=False, name="mfbench", **options)

    return connect


@dataclass(frozen=True)
class RunningScheduler:
    """A scheduler that somebody has started, with workers of one thread.

    Attributes
    ----------
    address
        As in ``tcp://10.0.0.1:8786`` or ``tls://…``.
    security
        Certificates; None: those of Dask's own configuration, or none.
    """

    address: str
    security: Security | None = None
    memory: ClassVar[int] = 0

    @contextmanager
    def workers(self, wanted: int) -> Iterator[Workers]:
        """The workers that it has; they stay when this command ends."""
        awaits = (
            "No worker there serves these runs yet; they wait for one: "
            f"dask worker {self.address} --host ADDRESS_OF_ITS_MACHINE --nthreads 1 --no-dashboard"
        )
        yield Workers(self.address, client_of(self.address, self.security), awaits=awaits)


@dataclass(frozen=True)
class ThisMachine:
    """Worker processes of this machine, one thread each, on the loopback interface only.

    Attributes
    ----------
    number
        Of processes.
    gpus
        Devices, one for each of the first workers, which has the resource GPU; others have none.
    dashboard
        Whether the scheduler has its page, also on the loopback interface.
    security
        Certificates; None: what goes over the loopback interface is not encrypted.
    """

    number: int
    gpus: Sequence[str] = ()
    dashboard: bool = False
    security: Security | None = None
    memory: ClassVar[int] = 0

    @contextmanager
    def workers(self, wanted: int) -> Iterator[Workers]:
        """Start the processes; at the end they are ended."""
        names = range(min(self.number, max(1, wanted)))
        with dask.config.set(_OWN), closing(self._cluster(names)) as cluster:
            address = str(cluster.scheduler_address)
            yield Workers(
                address,
                client_of(address, self.security),
                most=len(names),
                own=True,
                dashboard=dashboard_of(cluster) if self.dashboard else "",
            )

    def _cluster(self, names: Sequence[int]) -> SpecCluster:
        return SpecCluster(
            workers={name: {"cls": Nanny, "options": self._options(name)} for name in names},
            scheduler={"cls": Scheduler, "options": self._scheduler()},
            security=self.security,
            silence_logs=logging.CRITICAL,
        )

    def _scheduler(self) -> dict[str, Any]:
        options = {"host": LOOPBACK, "port": 0, "dashboard": self.dashboard, "dashboard_address": f"{LOOPBACK}:0"}
        return options if self.security is None else options | {"protocol": "tls://", "security": self.security}

    def _options(self, name: int) -> Mapping[str, Any]:
        options: dict[str, Any] = {"nthreads": 1, "host": LOOPBACK, "memory_limit": 0, "dashboard": False}
        options |= {"env": dict(ONE_THREAD), "preload": ["mfbench.benchmarks.harness.executors.cluster.deaf"]}
        if self.security is not None:
            options |= {"security": self.security, "protocol": "tls://"}
        if self.gpus:
            device = self.gpus[name] if name < len(self.gpus) else ""
            options["env"] |= {"CUDA_VISIBLE_DEVICES": device}
            options["resources"] = {"GPU": 1} if device else {}
        return options


def dashboard_of(cluster: SpecCluster) -> str:
    """Address of a scheduler's page, which only this machine sees; Dask's own gives the scheduler's host."""
    port = cluster.scheduler_info["services"].get("dashboard")
    return f"http://{LOOPBACK}:{port}/status" if port else ""


def has_dashboard() -> bool:
    """Say whether Dask can show its page: bokeh is installed."""
    return find_spec("bokeh") is not None


def visible_gpus() -> list[str]:
    """Devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


def security_of(ca_file: str | None, cert: str | None, key: str | None) -> Security | None:
    """Make TLS settings of files; None if there are none.

    Raises
    ------
    ConfigError
        If only some of the files are given, one does not exist or is not what it should be, or the key is another's.
    """
    given = {"--tls-ca-file": ca_file, "--tls-cert": cert, "--tls-key": key}
    if not any(given.values()):
        return None
    for name, path in given.items():
        if not path:
            raise ConfigError(f"{name}: missing; TLS takes --tls-ca-file, --tls-cert and --tls-key together.")
        if not os.path.isfile(path):
            raise ConfigError(f"{name} {path}: there is no such file.")
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"--tls-ca-file {ca_file}: expected a certificate in PEM form ({error}).") from error
    try:
        context.load_cert_chain(str(cert), key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"--tls-cert {cert}, --tls-key {key}: expected a certificate in PEM form and its own key ({error})."
        ) from error
    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_cert": cert for role in roles} | {f"tls_{role}_key": key for role in roles}
    return Security(tls_ca_file=ca_file, require_encryption=True, **files)
