"""Jobs of a batch system as a user describes them in a YAML file: each value is checked before anything runs."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import psutil
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from mfbench.mfcore.documents import read_yaml
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.settings_model import SettingsModel, faults

MOST_JOBS = 1000
SYSTEMS = ("slurm", "pbs", "sge", "lsf")
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_LEAST_MEMORY, _LEAST_TIME = 10**9, 300


def bytes_of(text: str) -> int:
    """Number of bytes of a size such as 8GB.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = re.fullmatch(rf"(\d+(?:\.\d+)?) ?({'|'.join(_UNITS)})", str(text))
    if found is None:
        raise ValueError(f"expected a size with its unit ({', '.join(_UNITS)}), as in 8GB")
    return int(float(found[1]) * _UNITS[found[2]])


def seconds_of(text: str) -> int:
    """Number of seconds of a time HH:MM:SS.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = re.fullmatch(r"(\d{1,4}):([0-5]\d):([0-5]\d)", str(text))
    if found is None:
        raise ValueError('expected hours, minutes and seconds, in quotes: "04:00:00"')
    hours, minutes, seconds = map(int, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _memory(text: Any) -> str:
    if bytes_of(text) < _LEAST_MEMORY:
        raise ValueError("expected at least 1GB: a process with torch takes about half of it")
    return text


def _walltime(text: Any) -> str:
    if seconds_of(text) < _LEAST_TIME:
        raise ValueError("expected at least 00:05:00: a job loads libraries before it computes anything")
    return text


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.@:,+/=-]+", text):
        raise ValueError("expected one word of letters, digits and . @ : , + / = - _")
    return text


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected one line of text")
    return text


def _directive(text: str) -> str:
    if not text.startswith("-"):
        raise ValueError('expected a directive as the batch system reads it, as in "--exclude=node7"')
    return _line(text)


Word = Annotated[str, AfterValidator(_word)]
Line = Annotated[str, AfterValidator(_line)]


class ClusterFile(SettingsModel):
    """Jobs of a batch system, each with worker processes of one thread.

    Attributes
    ----------
    system
        The batch system.
    interface
        Network interface that this machine and the nodes reach each other by. There is no default: whoever reaches
        the scheduler there can run programs as the user.
    memory, walltime, gpus
        Of a job: as in 8GB, as in "04:00:00", and the number of devices (0 or 1).
    runs
        Runs that a job computes at once: processes with one core each.
    jobs, at_least
        Jobs at most, and at least; with fewer runs there are fewer.
    queue, account
        Names; None: the batch system's default.
    options
        Further directives of the batch system.
    environment
        Lines of shell that a job executes before its workers start.
    python
        Interpreter on the nodes; None: the one of this command, by the same path.
    scratch
        Folder on the nodes for temporary files; None: the system's.
    """

    system: Literal["slurm", "pbs", "sge", "lsf"]
    interface: Word
    memory: Annotated[str, BeforeValidator(_memory)]
    walltime: Annotated[str, BeforeValidator(_walltime)]
    gpus: int = Field(0, ge=0)
    runs: int = Field(1, ge=1, le=256)
    jobs: int = Field(1, ge=1, le=MOST_JOBS)
    at_least: int = Field(0, ge=0)
    queue: Word | None = None
    account: Word | None = None
    options: tuple[Annotated[str, AfterValidator(_directive)], ...] = ()
    environment: tuple[Line, ...] = ()
    python: Word | None = None
    scratch: Word | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.gpus > 1 or (self.gpus and self.runs > 1):
            raise ValueError("gpus: a job has one device and one run at a time; for more devices raise jobs")
        if self.at_least > self.jobs:
            raise ValueError(f"at_least: {self.at_least} jobs are more than jobs: {self.jobs}")
        if bytes_of(self.memory) < self.runs * _LEAST_MEMORY:
            raise ValueError(f"memory: {self.memory} is less than 1GB for each of {self.runs} runs")
        return self

    @property
    def needs(self) -> dict[str, float]:
        """Resources of Dask that a run takes."""
        return {"GPU": 1.0} if self.gpus else {}


def read_cluster(path: Path) -> ClusterFile:
    """Read a cluster file.

    Raises
    ------
    ConfigError
        Names the file, the key, the value and what is expected.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys such as system, interface, memory and walltime.")
    try:
        return ClusterFile.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {faults(error)}.") from error


def address_on(interface: str, encrypted: bool) -> str:
    """Return the IPv4 address of a network interface of this machine.

    Raises
    ------
    ConfigError
        If there is no such interface, it has no address, or one of the public internet while TLS is not used.
    """
    found = {name: _ipv4(addresses) for name, addresses in psutil.net_if_addrs().items()}
    there = ", ".join(f"{name} ({address})" for name, address in found.items() if address)
    address = found.get(interface)
    if not address:
        raise ConfigError(f"interface: this machine has no '{interface}' with an IPv4 address; it has {there}.")
    if not (encrypted or ipaddress.ip_address(address).is_private):
        raise ConfigError(
            f"interface: {interface} has the public address {address}, where anybody could run programs as you; "
            f"choose an inner one ({there}), or give --tls-ca-file, --tls-cert and --tls-key."
        )
    return address


def _ipv4(addresses: Any) -> str:
    return next((item.address for item in addresses if item.family.name == "AF_INET"), "")
