"""Time the core at one size after the other, to and fro, so that a busy spell hits neighbouring sizes alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from mfbench.benchmarks.performance.contenders.base import Labelled
from mfbench.benchmarks.performance.measure import mean_spent, spent
from mfbench.benchmarks.performance.scaling.settings import Point
from mfbench.benchmarks.performance.workloads import crystal_of


class Sized:
    """The frozen core at one size: its graph, and the timed calls.

    Parameters
    ----------
    point
        The size.
    number
        Of the measurement: in each the atoms lie elsewhere in their cell, since a process keeps the neighbour lists of
        frames that it has seen.
    """

    def __init__(self, point: Point, number: int = 0) -> None:
        from mfbench.benchmarks.performance.speed.contenders import SpeedCore

        frame = crystal_of(point.n_atoms)
        frame.positions += 0.01 * number
        self.frames = [frame]
        n_normalising = 416  # of a smaller cell of the same density: it decides no time
        # of another seed: the neighbour list of the timed frame must not have been found and kept before
        typical = crystal_of(min(point.n_atoms, n_normalising), seed=0)
        data = Labelled([typical], np.zeros(1), [np.ones((len(typical), 3))])
        torch.manual_seed(0)
        self._core = SpeedCore(point.network, data)
        self._core.fix()
        self._batch: Any = None

    def graph(self) -> None:
        """Neighbour list and batch."""
        self._batch = self._core.prepare(self.frames)([0])

    def energy_forces(self) -> None:
        """Energies and forces from the batch."""
        self._core.energy_forces(self._batch, training=False)

    @property
    def n_edges(self) -> int:
        """Edges of the batch."""
        return int(self._batch.sender.shape[0])


def time_once(point: Point, seconds: float, number: int = 0) -> dict[str, float]:
    """CPU seconds of the graph and of energies with forces; the network and its kernels are made before."""
    sized = Sized(point, number)
    graph = spent(sized.graph)
    sized.energy_forces()  # the first call makes room
    network, calls = mean_spent(sized.energy_forces, seconds)
    return {
        "graph_cpu_s": graph.cpu_s,
        "energy_forces_cpu_s": network.cpu_s,
        "energy_forces_system_s": network.system_s,
        "energy_forces_wall_s": network.wall_s,
        "calls": calls,
        "n_edges": sized.n_edges,
    }


def order(points: Sequence[Point], number: int) -> list[Point]:
    """Return the points in the order of a round: ascending in even rounds, descending in odd ones."""
    return list(points) if number % 2 == 0 else list(reversed(points))


def one_round(
    points: Sequence[Point], number: int, seconds: float, told: Callable[[Point], None]
) -> list[dict[str, Any]]:
    """Time every point once, in the given order of points."""
    found = {}
    for count, point in enumerate(order(points, number), number * len(points)):
        found[point] = {**point.as_dict(), **time_once(point, seconds, count)}
        told(point)
    return [found[point] for point in points]
