"""Gradients without the question to torch's engine: more is computed, and nothing else comes out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import all_wanted, wanted
from tests.cores.equivariant.examples import graph, make_core


def training_step(backend: str) -> list[Tensor]:
    """Energies, forces, and gradients of a loss on both with respect to all parameters."""
    from ase.build import molecule

    frames = [molecule("CH3CH2NH2"), molecule("CH4")]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=number)
    core = make_core(backend=backend, n_layers=2, zbl=False)
    output = core(graph(frames), True, create_graph=True)
    assert output.forces is not None
    loss = output.forces.square().sum() + output.energy.square().sum()
    parameters = [p for p in core.parameters() if p.requires_grad]
    loss.backward(inputs=parameters)
    return [output.energy, output.forces, *[p.grad for p in parameters if p.grad is not None]]


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("change", ["gone", "refuses"])
def test_a_training_step_without_the_engine_s_answer_is_the_same(
    monkeypatch: pytest.MonkeyPatch, backend: str, change: str
) -> None:
    expected = training_step(backend)
    asked = []

    def refuse(node: object) -> bool:
        asked.append(node)
        raise RuntimeError("this version of torch does not say")

    if change == "gone":
        monkeypatch.delattr(torch._C, "_will_engine_execute_node")
    else:
        monkeypatch.setattr(torch._C, "_will_engine_execute_node", refuse)
    found = training_step(backend)
    assert bool(asked) == (change == "refuses")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_the_engine_knows_that_a_gradient_is_not_used() -> None:
    seen = []

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):  # type: ignore[no-untyped-def]
            x, y = ctx.saved_tensors
            seen.append((wanted(ctx, 0, 0), wanted(ctx, 1, 1), all_wanted(ctx, 0)))
            return g * y, g * x

    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))
    a, b = x * 1.0, y * 1.0
    torch.autograd.grad(Product.apply(a, b).sum(), x)  # type: ignore[no-untyped-call]
    assert seen == [(True, False, [True, False])]
