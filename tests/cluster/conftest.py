from __future__ import annotations

from collections.abc import Iterator

import dask
import pytest
from distributed.utils import get_mp_context

from mfbench.benchmarks.harness.executors.cluster.places import ThisMachine
from tests.harness.conftest import fakes

__all__ = ["fakes"]


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers, which all tests use; they have the fakes, and start in no time."""
    log = tmp_path_factory.mktemp("fakes") / "steps.log"
    log.touch()
    quick = {"distributed.worker.multiprocessing-method": "forkserver"}
    with pytest.MonkeyPatch.context() as patch, dask.config.set(quick):
        patch.setenv("MFBENCH_FAKE_LOG", str(log))
        get_mp_context().set_forkserver_preload(["distributed", "numpy", "pandas", "mfbench.benchmarks.harness.runner"])
        with ThisMachine(2).workers(2) as workers:
            yield workers.address
