"""Tables of radial networks as one node of the graph, since each costs time in every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import differentiable_gradients
from mfbench.mfcore.ops.radial.reference import table_parts


def tables_at_once(basis: Tensor, matrix: Tensor, n: int, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Tables of n networks; arguments as of :func:`~mfbench.mfcore.ops.radial.op.tables`, the weights in one row."""
    made: tuple[Tensor, ...] = _Tables.apply(basis, matrix, n, *weights)  # type: ignore[no-untyped-call]
    return made


def _by_network(n: int, weights: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    depth = len(weights) // n
    return [weights[k * depth : (k + 1) * depth] for k in range(n)]


class _Tables(torch.autograd.Function):
    """(basis, matrix, number of networks, *weights) → table of each."""

    @staticmethod
    def forward(ctx: Any, basis: Tensor, matrix: Tensor, n: int, *weights: Tensor) -> tuple[Tensor, ...]:
        tables, parts, hidden = table_parts(basis, matrix, _by_network(n, weights))
        ctx.save_for_backward(matrix, *weights, *hidden, *parts)
        ctx.n = n
        return tuple(tables)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        matrix, *tensors = ctx.saved_tensors
        n, depth = ctx.n, (len(ctx.needs_input_grad) - 3) // ctx.n
        split = n * depth, n * depth + depth - 1
        weights, hidden, parts = tensors[: split[0]], tensors[split[0] : split[1]], tensors[split[1] :]
        if torch.is_grad_enabled():
            basis, flags = parts[0][0], ctx.needs_input_grad[3:]

            def tables(*inputs: Tensor) -> list[Tensor]:
                return table_parts(basis, matrix, _by_network(n, inputs))[0]

            return None, None, None, *differentiable_gradients(tables, weights, flags, cotangents)
        last = parts.pop()
        grads = [[part.T @ g for part, g in zip(last.unbind(), cotangents, strict=True)]]
        back = torch.empty_like(last)
        for place, g, weight in zip(back.unbind(), cotangents, weights[depth - 1 :: depth], strict=True):
            torch.mm(g, weight.T, out=place)
        back = matrix.T.expand(n, -1, -1) @ back
        for matrices in reversed(hidden):
            parts.pop()
            back = torch.ops.aten.silu_backward(back, parts.pop())
            grads.append(list((parts[-1].transpose(1, 2) @ back).unbind()))
            if len(grads) < depth:
                back = back @ matrices.transpose(1, 2)
        return None, None, None, *[layer[k] for k in range(n) for layer in reversed(grads)]
