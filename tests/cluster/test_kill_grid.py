"""A grid on workers that are killed, behind a connection that is cut, with a run that kills whoever takes it.

Its rows are those of one process, bit for bit but for times; every run is stored once, and the poisonous one is
recorded.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

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

#: Of connections that are cut, which distributed leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def check(
    planned: list[PlannedRun],
    poison: PlannedRun,
    scheduler: str,
    folder: Path,
    trouble: tuple[Sequence[int], Sequence[int]],
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


@pytest.mark.parametrize("sharing", [Sharing.folder, Sharing.nothing])
def test_rows_of_fakes(scheduler: str, fakes: Path, tmp_path: Path, sharing: Sharing) -> None:
    with Client(scheduler, set_as_default=False) as client:
        client.run(find_fakes)
    planned = prepare([spec("fake_steps", settings={"pause_s": 0.05, "steps": 4}, seed=seed) for seed in range(6)])
    monitor = check(planned, prepare([spec("fake_dying")])[0], scheduler, tmp_path, ([1, 3], [2]), sharing)
    assert len(monitor.killed) == 2
    assert monitor.cut == 1


TINY = {
    "core": {"channels": 4, "n_layers": 1, "lmax": 1},
    "training": {"batch_frames": 4, "validation_checks": 8, "checkpoint_s": 0.1},
}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("number", "kills", "cuts"), [(12, 3, 1), pytest.param(200, 20, 2, marks=pytest.mark.slow)])
def test_rows_of_trainings(
    quick_workers: None, fakes: Path, tmp_path: Path, number: int, kills: int, cuts: int
) -> None:
    """Trainings on four workers of one thread."""
    regime = Regime(n_low=20, n_high=12, labels="low=EF,high=EF", coverage="full")
    arms = ("single_fidelity", "multi_fidelity", "transfer", "delta_model", "transfer_replay")
    planned = prepare(
        [RunSpec("molecular_cc", regime, arms[n % 5], 5e2, n // 5, 0, settings=TINY) for n in range(number)]
    )
    poison = prepare([spec("fake_dying")])[0]
    moments = random.Random(number).sample(range(1, number - 4), kills)
    with ThisMachine(4).workers(4) as workers:
        trouble = (moments, [number * (n + 1) // (cuts + 1) for n in range(cuts)])
        monitor = check(planned, poison, workers.address, tmp_path, trouble, Sharing.folder)
    assert len(monitor.killed) == kills
    assert monitor.cut == cuts
