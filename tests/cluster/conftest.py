from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import dask
import pytest
from distributed.utils import get_mp_context

from mfbench.benchmarks.harness.executors.cluster.places import ThisMachine
from tests.harness.conftest import fakes

__all__ = ["fakes"]


LOADED = ["distributed", "lightning_fabric", "pandas", "torch", "mfbench.benchmarks.harness.runner"]
"""Modules that a worker has when it starts."""


@pytest.fixture(autouse=True)
def no_sockets_of_cut_connections() -> Iterator[None]:
    """Collect sockets that distributed leaves to the garbage collector when a connection is cut, without a warning."""
    yield
    collect()


def collect() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def quick_workers() -> Iterator[None]:
    """Let workers of this process start in no time: they are forks of one that has loaded libraries."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(LOADED)
        yield


@pytest.fixture(scope="session")
def scheduler(quick_workers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers, which all tests use; they have the fakes."""
    log = tmp_path_factory.mktemp("fakes") / "steps.log"
    log.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFBENCH_FAKE_LOG", str(log))
        with ThisMachine(2).workers(2) as workers:
            yield workers.address
    collect()
