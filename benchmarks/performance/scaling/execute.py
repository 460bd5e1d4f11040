"""Time the core at one size after the other, to and fro, so that a busy spell hits neighbouring sizes alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mfbench.benchmarks.performance.contenders.base import Labelled
from mfbench.benchmarks.performance.contenders.registry import CONTENDERS, CORE
from mfbench.benchmarks.performance.harness.progress import Told
from mfbench.benchmarks.performance.harness.rounds import turns
from mfbench.benchmarks.performance.harness.store import Record, ResultsFile, key_of
from mfbench.benchmarks.performance.measure import mean_spent, origin, spent
from mfbench.benchmarks.performance.scaling.settings import EXAMPLE_ATOMS, FIXED_ATOMS, Point
from mfbench.benchmarks.performance.speed.execute import asked_memory
from mfbench.benchmarks.performance.speed.settings import BASE, Job, sources
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
        from mfbench.benchmarks.performance.contenders.mfcore import SpeedCore

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


def one_round(
    points: Sequence[Point], number: int, seconds: float, told: Callable[[Point], None]
) -> list[dict[str, Any]]:
    """Time every point once, small ones first in even rounds; in the given order of points."""
    found = {}
    for count, point in enumerate(turns(points, number), number * len(points)):
        found[point] = {**point.as_dict(), **time_once(point, seconds, count)}
        told(point)
    return [found[point] for point in points]


def scaling_key(points: Iterable[Point], memory_kept: bool) -> str:
    """Hash of all that must be the same for rounds to stand beside each other."""
    made = [point.as_dict() for point in points]
    return key_of({"points": made, "memory_kept": memory_kept}, [*sources(), Path(__file__).parent])


def record_of(out: ResultsFile, points: Sequence[Point], memory_kept: bool) -> Record:
    """The stored record if it is of these points, this code and this machine; else a new one."""
    key = scaling_key(points, memory_kept)
    for record in out.read():
        if record["key"] == key:
            return record
    new = {"key": key, **origin(("mfbench", "torch", "vesin")), "memory_kept": memory_kept}
    return {**new, "rounds": [], "memory": [], "roofline": None}


def add_rounds(
    record: Record, points: Sequence[Point], rounds: int, seconds: float, out: ResultsFile, told: Told
) -> None:
    """Add the rounds that a record lacks; each is stored when it is done."""
    for number in range(len(record["rounds"]), rounds):
        record["rounds"].append(one_round(points, number, seconds, lambda p: told.done(p.n_atoms, p.title)))
        out.keep(record)
        told.stored(f"round {number + 1} of {rounds}")


def add_memory(record: Record, atoms: Sequence[int], python: str | None, out: ResultsFile, told: Told) -> None:
    """Add the peak memory of the core at some sizes, and of a peer at one that it can hold.

    Parameters
    ----------
    record
        To add to.
    atoms
        Sizes of the study.
    python
        Interpreter in which the peer is installed; None leaves it out.
    out, told
        Results file, and progress.
    """
    wanted = [(CORE, n, sys.executable) for n in sorted({FIXED_ATOMS, EXAMPLE_ATOMS, max(atoms)} & set(atoms))]
    if python is not None and FIXED_ATOMS in atoms:
        wanted.append(("nequip", FIXED_ATOMS, python))
    for name, n_atoms, interpreter in wanted:
        if any(e["name"] == name and e["n_atoms"] == n_atoms for e in record["memory"]):
            continue
        told.doing(f"memory: {CONTENDERS[name].label}, {n_atoms} atoms")
        found = asked_memory(Job(name, f"crystal:{n_atoms}", BASE, 1), interpreter, ["energy_forces"])
        if "energy_forces" in found:
            found["bytes"] = found.pop("energy_forces")
        record["memory"].append({"name": name, "contender": CONTENDERS[name].label, "n_atoms": n_atoms, **found})
        out.keep(record)
