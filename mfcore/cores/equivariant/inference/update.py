"""The update of each atom between two convolutions of a frozen network, and the way back, without autograd.

With messages M, features F, and W the matrices, in each irrep k ::

    o_k  = M_k Wout_k + F_j Wsc_k[species] + a_k      (a: rows that are added to the scalars)
    F'_0 = γ silu(o_0)                                in the channels that go on
    F'_k = γ silu(gates of k) o_k                     for l > 0; the gates are the other channels of o_0
    F'_k = τ tanh(o_k)                                for pseudoscalars
    X_k  = F'_k Win_k                                 the inputs of the next convolution

F'_k and X_k are the results; h_k below is the gradient of the energy with respect to o_k.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mfbench.mfcore.ops.activations import GATE_SCALE, PSEUDOSCALAR_SCALE
from mfbench.mfcore.ops.node_update.protocol import UpdateShape
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups
from mfbench.mfcore.ops.tracing import traced


class Operands(NamedTuple):
    """Operands of an update; see the head of this module. `added` may be empty."""

    messages: list[Tensor]
    features: list[Tensor]
    added: list[Tensor]
    outward: list[Tensor]
    connecting: list[Tensor]
    inward: list[Tensor]


class Kept(NamedTuple):
    """Results and what derivatives need of them: o_k, and γ silu(o_0)."""

    features: list[Tensor]
    mixed: list[Tensor]
    out: list[Tensor]
    gate: Tensor


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[2])


def _linear(x: Tensor, weight: Tensor, added: Tensor | None = None) -> Tensor:
    """Multiply (A, components, C) with (C, W), and add (A, components, W)."""
    made = _rows(x) @ weight if added is None else torch.addmm(_rows(added), _rows(x), weight)
    return made.view(x.shape[0], x.shape[1], weight.shape[1])


def evaluate(shape: UpdateShape, groups: SpeciesGroups, operands: Operands) -> Kept:
    """The update without derivatives."""
    messages, features, added, outward, connecting, inward = operands
    sums: list[Tensor | None] = [None] * shape.n_out
    if added:
        sums[0] = added[0].expand(messages[0].shape[0], -1, -1)
    if features:
        for (k, j), weight in zip(shape.connections, connecting, strict=True):
            product, before = groups.product(features[j], weight), sums[k]
            sums[k] = product if before is None else product.add_(before)
    out = [_linear(m, w, s) for m, w, s in zip(messages, outward, sums, strict=True)]
    gate = torch.nn.functional.silu(out[0]).mul_(GATE_SCALE)
    made = list(out)
    made[0] = gate[:, :, : shape.width]
    for k, first, last in shape.gates:
        made[k] = out[k] * gate[:, :, first:last]
    for k in shape.pseudoscalars:
        made[k] = torch.tanh(out[k]).mul_(PSEUDOSCALAR_SCALE)
    mixed = [_linear(f, w) for f, w in zip(made, inward, strict=True)] if shape.mixes else []
    return Kept(made, mixed, out, gate)


def cotangents(
    shape: UpdateShape,
    kept: Kept,
    inward: Sequence[Tensor],
    for_features: Sequence[Tensor],
    for_mixed: Sequence[Tensor],
) -> list[Tensor]:
    """h_k from the gradients with respect to F'_k and X_k."""
    total = list(for_features)
    if shape.mixes:
        total = [_linear(g, w.T, f) for f, g, w in zip(for_features, for_mixed, inward, strict=True)]
    gate = torch.empty_like(kept.gate)
    gate[:, :, : shape.width] = total[0]
    made = list(total)
    for k, first, last in shape.gates:
        if traced():  # a graph takes no part of a tensor as the place of a result
            gate[:, :, first:last] = (total[k] * kept.out[k]).sum(1, keepdim=True)
        else:
            torch.sum(total[k] * kept.out[k], 1, keepdim=True, out=gate[:, :, first:last])
        made[k] = total[k] * kept.gate[:, :, first:last]
    for k in shape.pseudoscalars:
        made[k] = torch.ops.aten.tanh_backward(total[k] * PSEUDOSCALAR_SCALE, torch.tanh(kept.out[k]))
    made[0] = torch.ops.aten.silu_backward(gate.mul_(GATE_SCALE), kept.out[0])
    return made


def to_features(shape: UpdateShape, groups: SpeciesGroups, operands: Operands, back: Sequence[Tensor]) -> list[Tensor]:
    """Gradients with respect to the features of the self-connections from h_k."""
    sums: list[Tensor | None] = [None] * len(operands.features)
    if operands.features:
        for (k, j), weight in zip(shape.connections, operands.connecting, strict=True):
            product, before = groups.transposed(groups.outgoing(back[k]), weight, back[k].shape[1]), sums[j]
            sums[j] = product if before is None else before.add_(product)
    return [torch.zeros_like(f) if s is None else s for f, s in zip(operands.features, sums, strict=True)]
