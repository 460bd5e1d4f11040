"""Every contender that is installed, trained in its own process as the comparison does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.contenders.registry import CONTENDERS, TRAINED, timed_type, trained_type
from mfbench.benchmarks.performance.measure import versions
from mfbench.benchmarks.performance.parity import execute, worker
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Job, Training
from mfbench.benchmarks.performance.parity.training import Outcome
from mfbench.mfcore.errors import TrainingError


def missing(name: str) -> bool:
    """Say if a contender's package is not installed."""
    return "not installed" in versions(trained_type(name).packages).values()


def test_data_survive_the_file(data: ParityData, tmp_path: Path) -> None:
    data.save(tmp_path / "data.npz")
    again = ParityData.load(tmp_path / "data.npz")
    assert again.sha256() == data.sha256()
    changed = ParityData(data.training, data.test, data.validation)
    assert changed.sha256() != data.sha256()


@pytest.mark.parametrize("name", TRAINED)
def test_contender_learns_forces(name: str, data: ParityData, tmp_path: Path) -> None:
    """A wrong sign, order or normalisation of energies or forces could not get below the forces themselves."""
    if missing(name):
        pytest.skip(f"{name} is not installed")
    data.save(tmp_path / "data.npz")
    network = Network(lmax=1, n_layers=2, channels=8)
    job = Job(name, 0.01, 0, network, Training(epochs=40, batch_frames=4, checks=2))
    result = execute.train(job, tmp_path / "data.npz", sys.executable, threads=1)
    assert result["status"] == "ok"
    size = 1000 * np.abs(np.concatenate(data.test.forces)).mean()
    assert result["test"]["force_mae_mev_per_A"] < 0.3 * size
    assert result["test"]["energy_mae_mev_per_atom"] < 1000 * np.std(data.test.energies / 3)
    assert result["steps"] == 40 * 6
    assert result["n_layers"] == 2


def test_settings_reach_the_network_of_the_core(
    data: ParityData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []

    def untrained(contender: Any, *_: object) -> Outcome:
        made.append(contender.module.config.readout_scale)
        return Outcome()

    monkeypatch.setattr(worker, "train", untrained)
    network = Network(lmax=1, n_layers=1, channels=8)
    data.save(tmp_path / "data.npz")
    for core in ({}, {"readout_scale": 0.1}):
        job = Job("mfcore", 0.01, 0, network, Training(), core)
        about, answer = worker.build({"job": job.as_dict(), "data": str(tmp_path / "data.npz")})
        assert about["channels"] == 8
        assert answer({"what": "train"})["status"] == "ok"
    assert made == [1.0, 0.1]


def test_a_diverged_training_is_a_failed_run(data: ParityData, tmp_path: Path) -> None:
    data.save(tmp_path / "data.npz")
    job = Job("mfcore", 1e6, 0, Network(lmax=1, n_layers=1, channels=4), Training(epochs=3, clip_norm=1e9))
    result = execute.train(job, tmp_path / "data.npz", sys.executable, threads=1)
    assert result["status"] == "failed"
    assert result["reason"].startswith("diverged: loss ")
    assert result["channels"] == 4  # and says whose it was


def test_a_contender_without_its_package_is_a_failed_run(data: ParityData, tmp_path: Path) -> None:
    absent = [name for name in TRAINED if missing(name)]
    if not absent:
        pytest.skip("every contender is installed")
    data.save(tmp_path / "data.npz")
    job = Job(absent[0], 0.01, 0, Network(), Training(epochs=1))
    result = execute.train(job, tmp_path / "data.npz", sys.executable, threads=1)
    assert result["status"] == "failed"
    assert "exit code 1" in result["reason"]


def test_a_killed_training_is_no_result(data: ParityData, tmp_path: Path) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    job = Job("mfcore", 0.01, 0, Network(), Training(epochs=1))
    with pytest.raises(TrainingError, match="signal 9"):
        execute.train(job, tmp_path / "data.npz", str(killed), threads=1)


def test_contender_classes_import_without_their_packages() -> None:
    assert [trained_type(name).core_name for name in TRAINED] == ["equivariant", "sevennet", "mace", "nequip"]
    assert [trained_type(name).packages[1] for name in TRAINED] == ["e3nn", "sevenn", "mace-torch", "nequip"]
    assert {timed_type(name).packages[0] for name in set(CONTENDERS) - set(TRAINED)} == {"nequip", "hippynn"}
    with pytest.raises(KeyError, match="hippynn"):
        trained_type("hippynn")
