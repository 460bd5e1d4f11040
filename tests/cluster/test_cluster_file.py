"""Each value of a cluster file is checked, and jobs are what it says, before anything runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.cli.place import Kind, Where, where
from mfbench.benchmarks.harness.executors.cluster import cluster_file
from mfbench.benchmarks.harness.executors.cluster.batch import BatchJobs
from mfbench.benchmarks.harness.executors.cluster.cluster_file import ClusterFile, address_on, bytes_of, read_cluster
from mfbench.benchmarks.harness.executors.cluster.places import RunningScheduler, ThisMachine, security_of
from mfbench.benchmarks.harness.executors.local import LocalExecutor
from mfbench.mfcore.errors import ConfigError

WHOLE = {"system": "slurm", "interface": "lo", "memory": "4GB", "walltime": "04:00:00", "jobs": 8}
FAULTS = {
    "system: Input should be 'slurm', 'pbs', 'sge' or 'lsf' (found 'condor')": {"system": "condor"},
    "memory: expected a size with its unit (MB, GB, TB, MiB, GiB, TiB), as in 8GB (found '8')": {"memory": "8"},
    "memory: expected at least 1GB": {"memory": "500MB"},
    "memory: 4GB is less than 1GB for each of 5 runs": {"runs": 5},
    "walltime: expected hours, minutes and seconds, in quotes: \"04:00:00\" (found '4h')": {"walltime": "4h"},
    "walltime: expected at least 00:05:00": {"walltime": "00:01:00"},
    'walltime: expected hours, minutes and seconds, in quotes: "04:00:00" (found 14400)': {"walltime": 14400},
    "memory: expected a size with its unit (MB, GB, TB, MiB, GiB, TiB), as in 8GB (found 2)": {"memory": 2},
    "gpus: a job has one device and one run at a time; for more devices raise jobs.": {"gpus": 2},
    "gpus: a job has one device and": {"gpus": 1, "runs": 2},
    "jobs: Input should be less than or equal to 1000": {"jobs": 10_000},
    "at_least: 9 jobs are more than jobs: 8": {"at_least": 9},
    "queue: expected one word": {"queue": "a b; rm -rf ~"},
    "options.0: expected a directive": {"options": ["exclude=node7"]},
    "environment.0: expected one line of text": {"environment": ["a\nb"]},
    "interfaces: unknown key": {"interfaces": "lo"},
    "jobs: expected no truth value": {"jobs": True},
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "cluster.yml"
    path.write_text(yaml.safe_dump(WHOLE | changes))
    return path


@pytest.mark.parametrize("message", FAULTS)
def test_faults_name_file_key_and_value(message: str, tmp_path: Path) -> None:
    path = written(tmp_path, **FAULTS[message])
    with pytest.raises(ConfigError) as caught:
        read_cluster(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text("{}")
    with pytest.raises(ConfigError) as caught:
        read_cluster(path)
    assert all(f"{key}: this key is missing" in str(caught.value) for key in WHOLE if key != "jobs")
    path.write_text("- a")
    with pytest.raises(ConfigError, match="expected a mapping"):
        read_cluster(path)


def test_sizes() -> None:
    assert [bytes_of(text) for text in ("2GB", "1.5 GiB")] == [2 * 10**9, 3 * 2**29]


def test_public_interfaces_are_refused_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {"eth0": "8.8.8.8", "ib0": "10.0.0.1"}
    monkeypatch.setattr(cluster_file, "_ipv4", lambda name: addresses[name])
    monkeypatch.setattr("psutil.net_if_addrs", lambda: {name: name for name in addresses})
    assert address_on("ib0", encrypted=False) == "10.0.0.1"
    assert address_on("eth0", encrypted=True) == "8.8.8.8"
    with pytest.raises(ConfigError, match=r"eth0 has the public address 8\.8\.8\.8, where anybody"):
        address_on("eth0", encrypted=False)
    with pytest.raises(ConfigError, match=r"has no 'wlan0' with an IPv4 address; it has eth0 \(8"):
        address_on("wlan0", encrypted=False)


SCRIPTS = {
    "slurm": ["#SBATCH -p short", "#SBATCH -A me", "#SBATCH --mem=4G", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1"],
    "pbs": ["#PBS -q short", "#PBS -A me", "#PBS -l walltime=04:00:00", "#PBS -l ngpus=1"],
    "sge": ["#$ -q short", "#$ -P me", "#$ -l h_rt=04:00:00", "#$ -l gpu=1"],
    "lsf": ["#BSUB -q short", '#BSUB -P "me"', "#BSUB -W 04:00", '#BSUB -gpu "num=1"'],
}


@pytest.mark.parametrize("system", SCRIPTS)
def test_the_script_of_a_job_says_what_the_file_says(system: str, tmp_path: Path) -> None:
    more = {"system": system, "queue": "short", "account": "me", "gpus": 1, "environment": ["module load cuda"]}
    place = BatchJobs(ClusterFile.model_validate(WHOLE | more), tmp_path / "jobs")
    heard = signal.getsignal(signal.SIGINT)
    script = place.script()
    assert signal.getsignal(signal.SIGINT) is heard
    lines = script.splitlines()
    assert [line for line in SCRIPTS[system] if line not in lines] == [], script
    assert "module load cuda" in lines
    assert "--nthreads 1" in script
    assert "--resources GPU=1" in script
    assert "--no-dashboard" in script
    assert "tcp://127.0.0.1:" in script
    assert place.file.needs == {"GPU": 1.0}


def test_a_batch_system_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = written(tmp_path)
    with pytest.raises(ConfigError, match=r"cluster\.yml: system: slurm: there is no command `sbatch`"):
        made(cluster=path)


# ---- options


def made(kind: Kind = Kind.dask, **options: Any) -> Where:
    given = {"workers": None, "scheduler": None, "cluster": None, "apart": False, "logs": Path("jobs")} | options
    tls = given.pop("tls", (None, None, None))
    return where(executor=kind, tls=tls, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kind": Kind.local, "scheduler": "tcp://a:1"}, "--scheduler: it is for workers of Dask"),
        ({"kind": Kind.local, "apart": True}, "--no-shared-folder: it is for workers of Dask"),
        ({"scheduler": "tcp://a:1", "cluster": Path("x.yml")}, "--scheduler and --cluster"),
        ({"scheduler": "a:8786"}, "--scheduler a:8786: expected tcp://HOST:PORT"),
        ({"scheduler": "tcp://a"}, "expected tcp://HOST:PORT"),
        ({"scheduler": "tls://a:1"}, "tls:// takes --tls-ca-file"),
        ({"scheduler": "tls://a:1", "tls": (Path("ca.pem"), None, None)}, "no such file|missing"),
        ({"cluster": Path("none.yml")}, "none.yml"),
    ],
)
def test_slips_in_options(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        made(**options)


def test_options_say_where() -> None:
    here = made(Kind.local, workers=3)
    assert here.executor(None, 5) == LocalExecutor(3)  # type: ignore[arg-type]
    assert (here.processes(2), here.sharing) == (2, "local")
    there = made(scheduler="tcp://10.0.0.1:8786", apart=True)
    assert there.place == RunningScheduler("tcp://10.0.0.1:8786")
    assert there.sharing == "nothing"
    own = made(workers=2)
    assert isinstance(own.place, ThisMachine)
    assert (own.place.number, own.processes(9), own.sharing) == (2, 2, "folder")


def test_tls_takes_three_files(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    names = [str(tmp_path / name) for name in ("ca", "cert", "key")]
    assert security_of(None, None, None) is None
    with pytest.raises(ConfigError, match="--tls-key: missing"):
        security_of(names[0], names[1], None)


def test_the_commands_take_them() -> None:
    for command in ("run", "compare", "tune"):
        found = CliRunner().invoke(app, [command, "--help"], env=os.environ | {"COLUMNS": "200"})
        options = ("--executor", "--scheduler", "--cluster", "--no-shared-folder", "--tls-key")
        assert all(option in found.output for option in options)
