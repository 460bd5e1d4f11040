"""A Slurm of one node on this machine, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "slurmstepd", "sbatch", "scancel", "squeue", "sinfo")
_WAIT_S = 60


def missing() -> list[str]:
    """Programs of Slurm that are not here."""
    return [name for name in NEEDED if shutil.which(name) is None]


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def one_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start slurmctld and slurmd with a configuration of their own; yields what commands need in their environment."""
    host, (control, node) = socket.gethostname(), _free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    lines = {
        "ClusterName": "mfbench",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "AuthType": "auth/none",
        "CredType": "cred/none",
        "SlurmUser": "root",
        "SlurmctldPort": control,
        "SlurmdPort": node,
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerType": "sched/builtin",
        "MpiDefault": "none",
        "ReturnToService": 2,
    }
    # of a Slurm that is not installed but unpacked somewhere (dpkg -x)
    plugins = sorted(Path(str(shutil.which("sbatch"))).parents[1].glob("lib/*/slurm-wlm/auth_none.so"))
    lines |= {"PluginDir": plugins[0].parent} if plugins else {}
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    text += f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=8000 State=UNKNOWN\n"
    text += "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
    (folder / "slurm.conf").write_text(text)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    every = os.environ | environment
    daemons = []
    try:
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-d", str(shutil.which("slurmstepd"))]):
            with (folder / f"{command[0]}.out").open("wb") as out:
                daemons.append(subprocess.Popen(command, env=every, stdout=out, stderr=subprocess.STDOUT))
        until = time.monotonic() + _WAIT_S
        while "idle" not in subprocess.run(["sinfo"], env=every, capture_output=True, text=True, check=False).stdout:
            if time.monotonic() > until or any(daemon.poll() is not None for daemon in daemons):
                logs = "".join(path.read_text()[-1000:] for path in [*folder.glob("*.log"), *folder.glob("*.out")])
                raise TimeoutError(f"Slurm has no idle node after {_WAIT_S} s: {logs}")
            time.sleep(0.5)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)
