"""The readout as one operator is plain torch in values and in derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mfcore.nn.readout import readout, readout_reference


def inputs(own_rows: bool, added: bool) -> list[Tensor]:
    """Scalars, hidden matrix, output weights (of each atom or of all), added rows."""
    generator = torch.Generator().manual_seed(4)
    shapes = [(5, 4), (4, 3), (5 if own_rows else 1, 3), *([(5, 3)] if added else [])]
    return [torch.randn(*s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]


def reference(*tensors: Tensor) -> Tensor:
    return readout_reference(*tensors)[0]


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_a_training_step_equals_plain_torch(own_rows: bool, added: bool) -> None:
    found = []
    for function in (readout, reference):
        tensors = inputs(own_rows, added)
        energy = torch.sin(function(*tensors))  # cotangents depend on the inputs
        (first,) = torch.autograd.grad(energy.sum(), tensors[0], create_graph=True)
        loss = first.pow(3).sum() + energy.square().sum()
        found.append([energy, first, *torch.autograd.grad(loss, tensors)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("own_rows", [False, True])
def test_derivatives_of_any_order(own_rows: bool) -> None:
    tensors = inputs(own_rows, True)
    assert torch.autograd.gradcheck(readout, tensors)
    assert torch.autograd.gradgradcheck(readout, tensors)
    thirds = []
    for function in (readout, reference):
        (first,) = torch.autograd.grad(function(*tensors).sum(), tensors[0], create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), tensors[0], create_graph=True)
        thirds.append(torch.autograd.grad(second.pow(2).sum(), tensors))
    for a, b in zip(*thirds, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_only_what_is_asked_for() -> None:
    tensors = inputs(False, True)
    for tensor in tensors[1:]:
        tensor.requires_grad_(False)
    (found,) = torch.autograd.grad(readout(*tensors).sum(), tensors[0])
    (expected,) = torch.autograd.grad(reference(*tensors).sum(), tensors[0])
    torch.testing.assert_close(found, expected)
