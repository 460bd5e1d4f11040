"""Computing layers again gives the same gradients of a loss on energies, forces and stress, and keeps less."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.cores.equivariant.activation_checkpointing import recomputed
from mfbench.mfcore.data.graphs import GraphStore
from tests.contracts.core_cases import FIDELITIES, SPECIES, argyrodite, ethanol
from tests.cores.equivariant.test_model import make_core


def loss_gradients(checkpointing: bool, conditioning: Conditioning, frozen: bool, **changes: object) -> list[Tensor]:
    """Gradients of a training step by all parameters."""
    core = make_core(conditioning, **changes)
    if frozen:  # as transfer with a frozen trunk
        core.layers.requires_grad_(False)
    store = GraphStore([ethanol(), argyrodite()], ["low", "high"], FIDELITIES, None, SPECIES, core.config.cutoff)
    parameters = [p for p in core.parameters() if p.requires_grad]
    out = core(
        store.batch([0, 1]).to("cpu", torch.float64),
        stress=True,
        create_graph=True,
        activation_checkpointing=checkpointing,
    )
    assert out.stress is not None
    loss = out.energy.square().sum() + out.forces.square().sum() + out.stress[1].square().sum()
    loss.backward(inputs=parameters)
    return [p.grad for p in parameters]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("conditioning", "changes"), [("one_hot", {}), ("heads", {"parity": True}), ("none", {"radial_mode": "exact"})]
)
def test_same_gradients(conditioning: Conditioning, changes: dict[str, object], frozen: bool) -> None:
    kept, again = (loss_gradients(r, conditioning, frozen, **changes) for r in (False, True))
    assert len(kept) == len(again) > 2
    for first, second in zip(kept, again, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-10, atol=1e-10 * float(first.abs().max()))


def test_a_part_of_any_kind_to_second_order() -> None:
    weight = torch.nn.Parameter(torch.randn(3, 3, dtype=torch.float64))

    def part(inputs: list[Tensor]) -> list[Tensor]:
        x, y = inputs
        return [torch.tanh(x @ weight) * y, y]

    def function(x: Tensor, y: Tensor, _: Tensor) -> Tensor:
        first, second = recomputed(part, [x, y], [weight])
        return first.sum(1) + second.square().sum(1)

    given = [torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(function, (*given, weight))
    assert torch.autograd.gradgradcheck(function, (*given, weight))


def kept_bytes(checkpointing: bool) -> int:
    """Bytes that autograd's graphs hold before the way back to the parameters, each storage once."""
    core = make_core("one_hot", channels=16)
    store = GraphStore([argyrodite()] * 2, ["high"] * 2, FIDELITIES, None, SPECIES, core.config.cutoff)
    batch = store.batch([0, 1]).to("cpu", torch.float64)
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = core(batch, create_graph=True, activation_checkpointing=checkpointing)
    assert out.forces is not None
    return sum(storages.values())


def test_less_is_kept() -> None:
    assert kept_bytes(True) < 0.85 * kept_bytes(False)  # memory that is used again makes the count vary
