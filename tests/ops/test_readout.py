"""The readout as one operator is plain torch in values and in derivatives, whoever computes it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.ops.readout.op import readout
from mfbench.mfcore.ops.readout.reference import readout_reference
from tests.ops.examples import skip_without

BACKENDS = ["reference", pytest.param("cpp", marks=skip_without("cpp"))]
# atoms, scalars, hidden numbers: fewer and more than fit into registers, and numbers that leave some of them half full
SIZES = [(5, 4, 3), (1, 9, 16), (7, 33, 21), (0, 8, 16)]


def inputs(
    own_rows: bool, added: bool, sizes: tuple[int, int, int] = (5, 4, 3), dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Scalars, hidden matrix, output weights (of each atom or of all), added rows."""
    generator = torch.Generator().manual_seed(4)
    n, c, k = sizes
    shapes = [(n, c), (c, k), (n if own_rows else 1, k), *([(n, k)] if added else [])]
    made = [torch.randn(*s, generator=generator, dtype=torch.float64) for s in shapes]
    return [tensor.to(dtype).requires_grad_() for tensor in made]


def reference(*tensors: Tensor) -> Tensor:
    return readout_reference(*tensors)[0]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_a_training_step_equals_plain_torch(
    backend: Backend, added: bool, own_rows: bool, sizes: tuple[int, int, int], dtype: torch.dtype, tolerance: float
) -> None:
    found = []
    for function in (partial(readout, backend=backend), reference):
        tensors = inputs(own_rows, added, sizes, dtype)
        energy = torch.sin(function(*tensors))  # cotangents depend on the inputs
        (first,) = torch.autograd.grad(energy.sum(), tensors[0], create_graph=True)
        loss = first.pow(3).sum() + energy.square().sum()
        found.append([energy, first, *torch.autograd.grad(loss, tensors)])
    for a, b in zip(*found, strict=True):
        size = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tensors_with_gaps(backend: Backend) -> None:
    found = []
    for function in (partial(readout, backend=backend), reference):
        x, hidden, out = inputs(True, False, (6, 5, 4))
        # every second atom, a transposed matrix, and a cotangent that is one number repeated
        energy = function(x[::2], hidden.T.contiguous().T, out[::2].T.contiguous().T)
        (first,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
        found.append([energy, first, *torch.autograd.grad(first.square().sum() + energy.sum(), [x, hidden, out])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_of_any_order(backend: Backend, own_rows: bool) -> None:
    operator = partial(readout, backend=backend)
    tensors = inputs(own_rows, True)
    assert torch.autograd.gradcheck(operator, tensors)
    assert torch.autograd.gradgradcheck(operator, tensors)
    thirds = []
    for function in (operator, reference):
        (first,) = torch.autograd.grad(function(*tensors).sum(), tensors[0], create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), tensors[0], create_graph=True)
        thirds.append(torch.autograd.grad(second.pow(2).sum(), tensors))
    for a, b in zip(*thirds, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_what_is_asked_for(backend: Backend) -> None:
    tensors = inputs(False, True)
    for tensor in tensors[1:]:
        tensor.requires_grad_(False)
    (found,) = torch.autograd.grad(readout(*tensors, backend=backend).sum(), tensors[0])
    (expected,) = torch.autograd.grad(reference(*tensors).sum(), tensors[0])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_nan_stays_with_its_atom(backend: Backend) -> None:
    x, hidden, out = inputs(False, False, (4, 5, 17))
    with torch.no_grad():
        x[1, 2] = torch.nan
    energy = readout(x, hidden, out, backend=backend)
    (first,) = torch.autograd.grad(energy.sum(), x)
    assert energy.isnan().tolist() == [False, True, False, False]
    assert first.isnan().any(1).tolist() == [False, True, False, False]


@skip_without("cpp")
def test_the_number_of_threads_changes_nothing() -> None:
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            tensors = inputs(False, True, (5000, 8, 16), torch.float32)
            energy = readout(*tensors, backend="cpp")
            (first,) = torch.autograd.grad(energy.sum(), tensors[0], create_graph=True)
            found.append([energy, first, *torch.autograd.grad(first.square().sum() + energy.sum(), tensors)])
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(*found, strict=True))
