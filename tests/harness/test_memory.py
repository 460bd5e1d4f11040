"""Memory of runs grows with their batches, and workers that may take less are refused in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mfbench.benchmarks.harness.executors.base import Job
from mfbench.benchmarks.harness.executors.cluster.batch import BatchJobs
from mfbench.benchmarks.harness.executors.cluster.cluster_file import ClusterFile
from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor
from mfbench.benchmarks.harness.memory import BASE_BYTES, bytes_per_atom, expected_memory
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun, prepare_one
from mfbench.benchmarks.tasks.base import Regime
from mfbench.mfcore.errors import ConfigError
from tests.contracts.executor import square
from tests.harness.conftest import spec


def planned(**training: int) -> PlannedRun:
    regime = Regime(n_low=20, n_high=12, labels="low=EF,high=EF", coverage="full")
    return prepare_one(RunSpec("molecular_cc", regime, "transfer", 1e3, 0, 0, settings={"training": training}))


def per_atom(run: PlannedRun) -> float:
    return (expected_memory(run) - BASE_BYTES) / bytes_per_atom("equivariant")


def test_it_grows_with_the_atoms_of_a_batch() -> None:
    run = planned(batch_atoms=64)
    width = min(1.0, run.settings["core"]["channels"] / 32)
    assert per_atom(run) == pytest.approx(64 * width)
    largest = per_atom(planned(batch_atoms=1)) / width  # a frame is never divided
    assert largest == pytest.approx(round(largest))
    every = per_atom(planned(batch_frames=10)) / width
    assert 10 * 3 < every < 10 * largest
    assert per_atom(planned(batch_atoms=10**6)) == pytest.approx(per_atom(planned(batch_frames=10**6)))
    peer = replace(run, identity=run.identity | {"core": {"name": "mace", "checkpoint_sha256": None}})
    assert expected_memory(peer) > 1.2 * expected_memory(run)


def test_nothing_is_said_of_what_was_not_measured(fakes: Path) -> None:
    assert expected_memory(prepare_one(spec())) == 0
    run = planned()
    assert expected_memory(replace(run, identity=run.identity | {"core": {"name": "fake_pair"}})) == 0


def test_jobs_of_a_batch_system_with_less_are_refused_before_any_is_submitted(tmp_path: Path) -> None:
    file = {"system": "slurm", "interface": "lo", "memory": "4GB", "walltime": "04:00:00", "runs": 2}
    executor = DaskExecutor(BatchJobs(ClusterFile.model_validate(file), tmp_path / "jobs"))
    with pytest.raises(ConfigError, match=r"a worker may take 2\.0 GB of memory, and a run takes 2\.5 GB at least"):
        list(executor.run([Job(square, 1), Job(square, 1, memory=2_500_000_000)]))
    assert list(tmp_path.iterdir()) == []
