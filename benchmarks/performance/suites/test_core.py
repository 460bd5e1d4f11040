"""Energies with forces of the frozen core, and a training step; 3 layers, lmax 2, 32 channels, float32."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from mfbench.benchmarks.performance.contenders.registry import CORE
from mfbench.benchmarks.performance.speed.calls import Calls, labelled
from mfbench.benchmarks.performance.speed.settings import BASE, Job

WORKLOADS = ("crystal:52", "crystal:4x52", "molecules:32")


@cache
def calls(workload: str) -> Calls:
    """Networks and batches of a workload."""
    return Calls(Job(CORE, workload, BASE, 1), labelled(workload))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_energy_forces(benchmark: Any, workload: str) -> None:
    """Energies and forces of a batch."""
    benchmark(calls(workload).energy_forces)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_training_step(benchmark: Any, workload: str) -> None:
    """A step of Adam on a loss of energies and forces."""
    benchmark(calls(workload).training_step)
