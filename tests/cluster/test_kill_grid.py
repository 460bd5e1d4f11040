"""A grid on workers that are killed, behind a connection that is cut, with a run that kills whoever takes it.

Its rows are those of one process, bit for bit but for times; every run is stored once, and the poisonous one is
recorded.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dask
import pandas as pd
import pytest
from distributed import Client

from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor
from mfbench.benchmarks.harness.executors.cluster.places import RunningScheduler, ThisMachine
from mfbench.benchmarks.harness.executors.local import LocalExecutor
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun, prepare
from mfbench.benchmarks.harness.runner import Sharing, run_all
from mfbench.benchmarks.tasks.base import Regime
from tests.cluster.grid import Counted, Trouble, numbers
from tests.cluster.proxy import Proxy
from tests.harness.conftest import PLUGIN, spec
from tests.harness.test_runner import Notes


def check(
    planned: list[PlannedRun],
    poison: PlannedRun,
    scheduler: str,
    folder: Path,
    trouble: tuple[int, float, list[int]],
    sharing: Sharing,
) -> Trouble:
    """Compute the runs here and there, and compare; the poisonous one only there."""
    here, there = Counted(folder / "here"), Counted(folder / "there")
    assert run_all(planned, planned, here, Notes(), LocalExecutor(0)) == []
    with Proxy(scheduler) as proxy, Trouble(scheduler, proxy, *trouble) as monitor:
        executor = DaskExecutor(RunningScheduler(proxy.address), strictly_apart=sharing is Sharing.nothing)
        todo = [poison, *planned]
        failed = run_all(todo, todo, there, monitor, executor, sharing)
    assert [run.spec.arm for run, _ in failed] == [poison.spec.arm], [reason for _, reason in failed]
    ((_, reason),) = failed
    assert "it lost its worker three times without getting any further" in reason
    assert there.status(poison.key) == "failed"
    assert there.puts == dict.fromkeys([run.key for run in todo], 1)
    rows = numbers(there)
    pd.testing.assert_frame_equal(
        rows[rows["run_key"] != poison.key].reset_index(drop=True), numbers(here), check_exact=True
    )
    return monitor


def find_fakes() -> None:
    """Let a worker that has started before find them; those that start later have the path of this process."""
    sys.path.insert(0, str(PLUGIN))


@pytest.mark.slow
@pytest.mark.parametrize("sharing", [Sharing.folder, Sharing.nothing])
def test_rows_of_fakes(scheduler: str, fakes: Path, tmp_path: Path, sharing: Sharing) -> None:
    with Client(scheduler, set_as_default=False) as client:
        client.run(find_fakes)
    planned = prepare([spec("fake_steps", settings={"pause_s": 0.05, "steps": 4}, seed=seed) for seed in range(6)])
    monitor = check(planned, prepare([spec("fake_dying")])[0], scheduler, tmp_path, (2, 0.3, [2]), sharing)
    assert monitor.cut == 1


TINY = {"core": {"channels": 4, "n_layers": 1, "lmax": 1}, "training": {"batch_frames": 4}}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_rows_of_trainings(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 trainings on four workers, of which 20 are killed; two cuts."""
    number, kills = int(os.environ.get("MFBENCH_GRID", "200")), int(os.environ.get("MFBENCH_KILLS", "20"))
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    regime = Regime(n_low=20, n_high=12, labels="low=EF,high=EF", coverage="full")
    arms = ("single_fidelity", "multi_fidelity", "transfer", "delta_model", "transfer_replay")
    planned = prepare(
        [RunSpec("molecular_cc", regime, arms[n % 5], 2e3, n // 5, 0, settings=TINY) for n in range(number)]
    )
    poison = prepare([spec("fake_dying")])[0]
    with dask.config.set({"distributed.worker.daemon": True}), ThisMachine(4).workers(4) as workers:
        trouble = (kills, 8.0, [number // 3, 2 * number // 3])
        monitor = check(planned, poison, workers.address, tmp_path, trouble, Sharing.folder)
    assert len(monitor.killed) >= kills
    assert monitor.cut == 2
