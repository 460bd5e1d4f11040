"""Neighbour lists, and graphs of many frames."""

from __future__ import annotations

from typing import Any

import pytest

from mfbench.benchmarks.performance.workloads import CUTOFF, workload
from mfbench.mfcore.data.graphs import GraphStore, neighbour_list


@pytest.mark.parametrize("name", ["crystal:52", "crystal:1404"])
def test_neighbour_list(benchmark: Any, name: str) -> None:
    """All pairs of one crystal."""
    (atoms,) = workload(name)
    sender, _, _ = benchmark(neighbour_list, atoms, CUTOFF)
    assert len(sender) > 20 * len(atoms)


@pytest.mark.parametrize("name", ["crystal:4x52", "molecules:32"])
def test_graphs(benchmark: Any, name: str) -> None:
    """Neighbour lists and flat storage of several frames, and a batch of all of them."""
    frames = workload(name)
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})

    def build() -> int:
        store = GraphStore(frames, ["high"] * len(frames), ["high"], None, species, CUTOFF)
        return store.batch(range(len(frames))).n_frames

    assert benchmark(build) == len(frames)
