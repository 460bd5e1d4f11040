"""The whole network gives the same energies, forces, stress and parameter gradients on every backend."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.graphs import GraphStore
from tests.ops.examples import KERNELS, device_of

SPECIES = (1, 6, 8, 12)


def frames(name: str) -> list[Atoms]:
    ethanol, crystal = molecule("CH3CH2OH"), bulk("MgO", "rocksalt", a=4.2)
    ethanol.rattle(0.1, seed=1)
    crystal.rattle(0.1, seed=2)
    lone = Atoms("O")
    far = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [9.0, 9.0, 9.0]])
    return {
        "a molecule and a crystal": [ethanol, crystal],
        "one frame": [crystal],
        "one atom": [lone],
        "isolated atoms among others": [lone, far, ethanol, lone],
    }[name]


def training_step(name: str, backend: Backend) -> dict[str, Tensor]:
    """Energies, forces, stress, and all parameter gradients of a loss on all three, float64."""
    torch.manual_seed(3)
    config = EquivariantConfig(cutoff=3.5, n_layers=2, lmax=1, channels=8, radial_hidden=(8,), backend=backend)
    core = EquivariantCore(config, SPECIES, ("low", "high"), "one_hot", 9.0).to(dtype=torch.float64)
    core = core.to(device=device_of(backend))
    some = frames(name)
    store = GraphStore(some, ["high"] * len(some), ("low", "high"), None, SPECIES, config.cutoff)
    batch = store.batch(np.arange(len(some))).to(device_of(backend), torch.float64)
    found = core(batch, stress=True, create_graph=True)
    assert found.forces is not None
    assert found.stress is not None
    loss = found.energy.square().sum() + found.forces.square().sum() + found.stress.nan_to_num().square().sum()
    parameters = {k: p for k, p in core.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    made = {f"gradient of {k}": g for k, g in zip(parameters, gradients, strict=True) if g is not None}
    made |= {"energy": found.energy, "forces": found.forces, "stress": found.stress}
    return {k: value.detach().cpu() for k, value in made.items()}


@cache
def reference(name: str) -> dict[str, Tensor]:
    return training_step(name, "reference")


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("name", ["a molecule and a crystal", "one frame", "one atom", "isolated atoms among others"])
def test_a_training_step_equals_the_reference(name: str, backend: Backend) -> None:
    found, expected = training_step(name, backend), reference(name)
    assert len([k for k in expected if k.startswith("gradient of layers")]) > 10
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        size = float(value.nan_to_num().abs().max()) if value.numel() else 0.0
        torch.testing.assert_close(
            found[key], value, rtol=0, atol=1e-10 * size, equal_nan=True, msg=lambda text, key=key: f"{key}: {text}"
        )
