"""A real Slurm takes a cluster file, and computes what processes of this machine compute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mfbench.benchmarks.harness.store import RunStore
from tests.cluster import slurm
from tests.cluster.grid import numbers

OPTIONS = os.environ.get("MFBENCH_SLURM_OPTIONS", "").split()
"""Further options of `mfbench run`, such as ``--arm transfer --budget 2e3``, for less than the whole."""


def run(folder: Path, *more: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "mfbench.benchmarks.cli.main", "run", "quick", "--task", "molecular_cc"]
    command += ["--out", str(folder), *OPTIONS, *more]
    every = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, env=every, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_quick_on_slurm(tmp_path: Path) -> None:
    if absent := slurm.missing():
        pytest.skip(f"there is no Slurm here: {', '.join(absent)} (Debian: apt-get install slurm-wlm)")
    if os.geteuid() != 0:
        pytest.skip("slurmd is started by root only")
    described = {"system": "slurm", "interface": "lo", "memory": "2GB", "walltime": "01:00:00", "jobs": 2}
    cluster = tmp_path / "cluster.yml"
    cluster.write_text(yaml.safe_dump(described | {"queue": "main"}))
    (tmp_path / "slurm").mkdir()
    with slurm.one_node(tmp_path / "slurm") as environment:
        out = run(tmp_path / "there", "--executor", "dask", "--cluster", str(cluster), environment=environment)
        left = subprocess.run(
            ["squeue", "-h"], env=os.environ | environment, capture_output=True, text=True, check=True
        )
    assert "Dask scheduler: tcp://127.0.0.1:" in out
    assert left.stdout == ""  # jobs are cancelled
    assert list((tmp_path / "there" / "jobs").glob("*.out"))
    run(tmp_path / "here", environment={})
    there, here = RunStore(tmp_path / "there"), RunStore(tmp_path / "here")
    pd.testing.assert_frame_equal(numbers(there), numbers(here), check_exact=True)
