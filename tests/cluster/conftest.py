from __future__ import annotations

import os
from collections.abc import Iterator

import dask
import pytest
from distributed.utils import get_mp_context

from mfbench.benchmarks.harness.executors.cluster.places import ThisMachine
from tests.harness.conftest import PLUGIN, fakes

__all__ = ["fakes"]


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers, which all tests use; they have the fakes, and start in no time."""
    log = tmp_path_factory.mktemp("fakes") / "steps.log"
    log.touch()
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "MFBENCH_FAKE_LOG")}
    os.environ |= {"PYTHONPATH": str(PLUGIN), "MFBENCH_FAKE_LOG": str(log)}
    try:
        with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
            context = get_mp_context()
            context.set_forkserver_preload(["distributed", "numpy", "pandas", "mfbench.benchmarks.harness.runner"])
            with ThisMachine(2).workers(2) as workers:
                yield workers.address
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
