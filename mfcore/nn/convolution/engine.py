"""Which gradients a running backward pass wants."""

from __future__ import annotations

from typing import Any

import torch


def wanted(ctx: Any, position: int, tensor_position: int) -> bool:
    """Whether the running backward pass uses the gradient of an input of a custom function.

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
    if not ctx.needs_input_grad[position]:
        return False
    node = ctx.next_functions[tensor_position][0]
    if node is None:
        return False
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except (AttributeError, RuntimeError):  # the latter for a leaf that autograd.grad was given
        return True
