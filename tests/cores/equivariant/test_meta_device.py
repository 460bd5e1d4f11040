"""A training step waits for nothing: on the meta device, where tensors hold no numbers, whatever would wait raises.

Waiting is to ask a tensor for a number (`.item()`, a copy to the host) or for something whose shape depends on numbers
(boolean masks, `bincount`). The operations are those of the reference backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.node_update import species_groups
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups, species_linear
from mfbench.mfcore.training.config import LossConfig
from mfbench.mfcore.training.loss import loss_of
from tests.cores.equivariant.examples import FIDELITIES, SPECIES, frames, make_core

META = torch.device("meta")


def store_on(device: torch.device) -> GraphStore:
    atoms = frames()
    store = GraphStore(atoms, [FIDELITIES[k % 2] for k in range(len(atoms))], FIDELITIES, None, SPECIES, 4.0)
    return store.to(device, torch.float64)


def batch_on(device: torch.device) -> Batch:
    return store_on(device).batch(np.array([3, 1, 0, 2, 1, 1, 1, 1, 1]))  # more than a hundred atoms


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.bincount(x.long()),
        lambda x: torch.unique(x),
    ],
)
def test_what_waits_raises_on_the_meta_device(wait: Callable[[Tensor], Any]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        wait(torch.zeros(3, device=META))


@pytest.mark.parametrize("conditioning", ["none", "one_hot", "heads"])
@pytest.mark.parametrize(
    "settings", [{}, {"radial_mode": "exact"}, {"self_connection": "linear", "parity": True}], ids=str
)
def test_a_training_step_waits_for_nothing(conditioning: Any, settings: dict[str, Any]) -> None:
    core = make_core(conditioning, backend="reference", **settings).to(META)
    parameters = [p for p in core.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, amsgrad=True, foreach=True)  # the fused one is for real devices
    config = LossConfig(fidelity_weights={"low": 0.5})
    batch = batch_on(META)
    assert batch.species_counts == tuple(torch.bincount(batch_on(torch.device("cpu")).species, minlength=4).tolist())
    optimizer.zero_grad(set_to_none=True)
    output = core(batch, True, True, create_graph=True)
    target = (batch.energy - core.reference_energy(batch)).to(torch.float64)
    loss = loss_of(output, batch, target, core.fidelities, config)
    loss.backward(inputs=parameters)
    torch.nn.utils.clip_grad_norm_(parameters, 10.0)
    optimizer.step()
    with torch.no_grad():
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 0.01)
    assert loss.device == META
    assert loss.shape == ()
    assert sum(p.grad is not None for p in parameters) > 0.8 * len(parameters)  # some irreps lead nowhere


def test_inference_waits_for_nothing() -> None:
    core = make_core(backend="reference").to(META)
    output = core.for_inference("high")(batch_on(META), True, True)
    assert output.forces is not None
    assert output.forces.shape == batch_on(META).positions.shape


def test_products_by_species_need_no_count_from_the_device() -> None:
    """With the host's numbers atoms are ordered by species on any device, and the CPU's products are the same."""
    batch = batch_on(torch.device("cpu"))
    assert len(batch.species) >= species_groups._FEW_ATOMS
    counts = tuple(torch.bincount(batch.species, minlength=4).tolist())
    x = torch.randn(len(batch.species), 3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4 * 6, dtype=torch.float64, requires_grad=True)
    found = []
    for groups in (SpeciesGroups(batch.species, 4), SpeciesGroups(batch.species, 4, counts)):
        made = species_linear(x, weight, groups)
        found.append([made, *torch.autograd.grad(made.sin().sum(), [x, weight])])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
    there = SpeciesGroups(batch.species.to(META), 4, counts)
    assert there.order is not None
    assert species_linear(x.to(META), weight.to(META), there).shape == (len(batch.species), 3, 6)


def test_edges_by_sender_need_no_count_from_the_device() -> None:
    batch = batch_on(torch.device("cpu"))
    edges = Edges(len(batch.positions), batch.sender, batch.receiver, batch.row_pointer)
    pointer, order = edges.by_sender
    counts = torch.bincount(batch.sender, minlength=edges.n_atoms)
    assert torch.equal(pointer.diff(), counts)
    assert torch.equal(order, torch.argsort(batch.sender, stable=True))
    there = batch_on(META)
    made, _ = Edges(len(there.positions), there.sender, there.receiver, there.row_pointer).by_sender
    assert made.shape == pointer.shape
