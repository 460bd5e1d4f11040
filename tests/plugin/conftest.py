"""The outside distribution, installed into a folder of its own by pip as a user would install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that the distribution is installed into; pip needs no network for it."""
    source, target = (tmp_path_factory.mktemp("plugin") / name for name in ("source", "site"))
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__"))
    flags = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="session")
def mfbench(installed: Path) -> Command:
    """The command line in an environment that has the distribution; it must end well."""
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}

    def call(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mfbench.benchmarks.cli.main", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return call
