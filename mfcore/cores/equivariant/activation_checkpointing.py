"""Compute a part of a network again on the way back, instead of keeping what is inside it.

torch's own checkpoints save nothing in a training on forces: what they compute again on the way to the forces stays
in the graph of the forces. Here that graph, too, keeps only the inputs of a part and the gradients of its results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mfbench.mfcore.ops.autograd import gradients_of, refuse_derivatives, wanted

Part = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def recomputed(part: Part, inputs: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Results of ``part(inputs)``, twice differentiable with respect to inputs and parameters.

    Parameters
    ----------
    part
        A function that depends on the inputs and the parameters, and gives the same results every time.
    inputs
        Tensors of real numbers.
    parameters
        Parameters that it uses.

    Returns
    -------
    list of Tensor
        The results, with a graph that keeps the inputs only.
    """
    call = _Call(part, len(inputs), tuple(parameters))
    return list(_Recomputed.apply(call, *inputs, *parameters))  # type: ignore[no-untyped-call]


class _Call(NamedTuple):
    """A part with its parameters, which stay what they are when inputs are replaced by copies."""

    part: Part
    n_inputs: int
    parameters: tuple[nn.Parameter, ...]


def _again(call: _Call, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Leaves (inputs cut off from their graph, and parameters), and the results; called with gradients enabled."""
    fresh = [x.detach().requires_grad_(x.requires_grad) for x in inputs]
    return [*fresh, *call.parameters], list(call.part(fresh))


class _Recomputed(torch.autograd.Function):
    """(call, *inputs, *parameters) → results."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.call = call
        ctx.save_for_backward(*tensors[: call.n_inputs])
        # detached: a result may be one of the inputs
        return tuple(result.detach() for result in call.part(tensors[: call.n_inputs]))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        n = call.n_inputs + len(call.parameters)
        flags = tuple(wanted(ctx, 1 + k, k) for k in range(n))
        if not any(flags):
            return (None,) * (1 + n)
        tensors = (*ctx.saved_tensors, *cotangents)
        return (None, *_Gradient.apply(call, flags, *tensors, *call.parameters))  # type: ignore[no-untyped-call]


class _Gradient(torch.autograd.Function):
    """(call, flags, *inputs, *cotangents, *parameters) → gradients of inputs and parameters that the flags ask for."""

    @staticmethod
    def forward(ctx: Any, call: _Call, flags: tuple[bool, ...], *tensors: Tensor) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.call, ctx.flags = call, flags
        kept = tensors[: len(tensors) - len(call.parameters)]
        ctx.save_for_backward(*kept)
        with torch.enable_grad():
            leaves, results = _again(call, kept[: call.n_inputs])
        return gradients_of(results, kept[call.n_inputs :], leaves, flags)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        kept, n = ctx.saved_tensors, call.n_inputs
        with torch.enable_grad():
            leaves, results = _again(call, kept[:n])
            cotangents = [c.detach().requires_grad_(c.requires_grad) for c in kept[n:]]
            first = gradients_of(results, cotangents, leaves, ctx.flags, create_graph=True)
        ends = [*leaves[:n], *cotangents, *leaves[n:]]
        flags = [end.requires_grad and wanted(ctx, 2 + k, k) for k, end in enumerate(ends)]
        made = gradients_of(first, directions, ends, flags)
        return (None, None, *refuse_derivatives(made, (*kept, *call.parameters)))
