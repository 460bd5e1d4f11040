"""Molecular dynamics: replicas in one batch, neighbour lists with a skin, Langevin thermostat."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mfbench.benchmarks.performance.speed.settings import BASE
from mfbench.benchmarks.performance.workloads import workload

STEPS = 10


@pytest.mark.parametrize("name", ["crystal:1x13", "crystal:8x13"])
def test_dynamics_steps(benchmark: Any, name: str) -> None:
    """Ten steps of Langevin dynamics, the start of the simulation included."""
    engine = pytest.importorskip("mfbench.mfcore.dynamics.engine", reason="there is no dynamics engine")
    from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
    from mfbench.mfcore.cores.equivariant.model import EquivariantCore
    from mfbench.mfcore.dynamics.models import PotentialForces
    from mfbench.mfcore.dynamics.settings import DynamicsSettings, starts
    from mfbench.mfcore.potentials.potential import Component, Potential

    frames = workload(name)
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    torch.manual_seed(0)
    core = EquivariantCore(EquivariantConfig(cutoff=BASE.cutoff), species, ["high"], mean_neighbours=28.0)
    core.scale.fill_(1e-3)  # a flat landscape: an untrained one would tear the crystal apart
    model = PotentialForces(Potential("untrained", [core.freeze()], {"high": (Component(0, "high"),)}))
    settings = DynamicsSettings(duration_ps=STEPS / 1000)
    run = benchmark(engine.simulate, model, starts(frames, [300.0]), settings)
    assert all(result.time_ps == pytest.approx(STEPS / 1000) for result in run.results)
