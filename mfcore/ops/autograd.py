"""The gradients that a running backward pass wants, and refusing those that the kernels cannot give.

The question to torch's engine is a private one of torch and is asked in this module only. Where torch does not answer,
everything that could be asked for is computed: more, and nothing wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def wanted(ctx: Any, position: int, tensor_position: int) -> bool:
    """Say that the running backward pass uses the gradient of an input of a custom function.

    `ctx.needs_input_grad` says only what could be asked for. A force pass (`autograd.grad(energy, vectors)`) wants
    no gradient of parameters, and a parameter pass (`loss.backward(inputs=parameters)`) none of positions; torch's
    engine knows.

    Parameters
    ----------
    ctx
        First argument of the function's `backward`.
    position
        Of the input among the arguments of `forward` after `ctx`.
    tensor_position
        Of the input among the tensors of these arguments.
    """
    return bool(ctx.needs_input_grad[position]) and _will_run(ctx.next_functions[tensor_position][0])


def all_wanted(ctx: Any, position: int) -> list[bool]:
    """As :func:`wanted` for all inputs from `position` on, where these are all of its tensors."""
    nodes = ctx.next_functions  # made anew at each access
    needed = ctx.needs_input_grad[position:]
    try:
        will_run = torch._C._will_engine_execute_node
        return [n and node is not None and will_run(node) for n, (node, _) in zip(needed, nodes, strict=True)]
    except (AttributeError, RuntimeError):  # see _will_run
        return [n and _will_run(node) for n, (node, _) in zip(needed, nodes, strict=True)]


def _will_run(node: Any) -> bool:
    if node is None:
        return False
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except (AttributeError, RuntimeError):  # the latter for a leaf that autograd.grad was given
        return True


def differentiable_gradients(
    function: Callable[..., Sequence[Tensor]],
    tensors: Sequence[Tensor],
    flags: Sequence[bool],
    cotangents: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """Gradients with a graph, for what a training step never asks for: of a function in plain torch.

    Parameters
    ----------
    function
        Takes the tensors, gives what the cotangents belong to.
    tensors
        Inputs.
    flags
        Of each input, whether its gradient is wanted.
    cotangents
        Of each result; None is zero.

    Returns
    -------
    tuple
        A gradient for each input; None where it is not wanted or zero.
    """
    with torch.enable_grad():
        inputs = [tensor.view_as(tensor) for tensor in tensors]  # not leaves: derivatives end here
        return gradients_of(function(*inputs), cotangents, inputs, flags, create_graph=True)


def gradients_of(
    results: Sequence[Tensor | None],
    cotangents: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    flags: Sequence[bool],
    create_graph: bool = False,
) -> tuple[Tensor | None, ...]:
    """`torch.autograd.grad` for some of the inputs, where some results or cotangents are zero or constant.

    Parameters
    ----------
    results, cotangents
        None is zero.
    inputs
        What the results were made of.
    flags
        Of each input, whether its gradient is wanted.
    create_graph
        Whether the gradients are to be differentiated.

    Returns
    -------
    tuple
        A gradient for each input; None where it is not wanted or zero.
    """
    pairs = [(r, c) for r, c in zip(results, cotangents, strict=True) if r is not None and c is not None]
    pairs = [(r, c) for r, c in pairs if r.requires_grad]  # with frozen inputs some results are constants
    chosen = [k for k, flag in enumerate(flags) if flag and inputs[k].requires_grad]
    made: list[Tensor | None] = [None] * len(inputs)
    if pairs and chosen:
        found = torch.autograd.grad(
            [r for r, _ in pairs],
            [inputs[k] for k in chosen],
            [c for _, c in pairs],
            create_graph=create_graph,
            allow_unused=True,
        )
        for k, gradient in zip(chosen, found, strict=True):
            made[k] = gradient
    return tuple(made)


class _Refusal(torch.autograd.Function):
    """(number of outputs, *outputs, *inputs) → the outputs, whose backward is an error."""

    @staticmethod
    def forward(ctx: Any, n: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:n])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        raise RuntimeError(
            "a third derivative through kernels was asked for: give the reference backend to edge_geometry and "
            "convolve, and use radial networks in exact mode."
        )


def refuse_derivatives(outputs: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """The outputs, with an error (rather than a silent zero) where they are differentiated by the inputs."""
    if not torch.is_grad_enabled():
        return list(outputs)
    made = [output for output in outputs if output is not None]
    marked = iter(_Refusal.apply(len(made), *made, *inputs))  # type: ignore[no-untyped-call]
    return [None if output is None else next(marked) for output in outputs]
