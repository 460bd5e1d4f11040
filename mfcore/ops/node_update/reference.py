"""The node update in plain torch: any device and dtype, and any order of derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mfbench.mfcore.ops.activations import PSEUDOSCALAR_SCALE, silu
from mfbench.mfcore.ops.node_update.protocol import UpdateCall, Updated
from mfbench.mfcore.ops.node_update.species_groups import species_linear
from mfbench.mfcore.ops.node_update.tf32 import tf32_product


def update_reference(
    call: UpdateCall, messages: Sequence[Tensor], features: Sequence[Tensor], added: Tensor | None
) -> Updated:
    """The update in plain torch: any device and dtype, and any order of derivative.

    Parameters
    ----------
    call
        What to do.
    messages
        (A, 2l+1, channels) for each irrep.
    features
        (A, 2l+1, channels) for each connection.
    added
        (A, 1, sums) to the scalars, or none.
    """
    shape, scale, groups, matrices, tf32 = call
    product: Callable[[Tensor, Tensor], Tensor] = tf32_product if tf32 else torch.matmul
    out = [product(message, weight * scale) for message, weight in zip(messages, matrices.outward, strict=True)]
    if added is not None:
        out[0] = out[0] + added
    for (k, _), feature, weight in zip(shape.connections, features, matrices.connecting, strict=True):
        connected = groups.chosen(product(feature, weight)) if tf32 else species_linear(feature, weight, groups)
        out[k] = out[k] + connected
    activated = silu(out[0])
    results = list(out)
    results[0] = activated[:, :, : shape.width] if shape.gates else activated
    for k, first, last in shape.gates:
        results[k] = out[k] * activated[:, :, first:last]
    for k in shape.pseudoscalars:
        results[k] = torch.tanh(out[k]) * PSEUDOSCALAR_SCALE
    mixed = [product(x, weight) for x, weight in zip(results, matrices.inward, strict=True)] if shape.mixes else []
    return Updated(out, results, mixed)
