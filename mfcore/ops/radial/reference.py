"""Tables of radial networks in plain torch: any device and dtype, and any order of derivative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def table_parts(
    basis: Tensor, matrix: Tensor, weights: Sequence[Sequence[Tensor]]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The tables; what goes in and out of each activation, and into the last layers; and the stacked hidden matrices.

    All but the tables have a first dimension for the networks.
    """
    n = len(weights)
    hidden = [torch.stack(layer) for layer in zip(*[w[:-1] for w in weights], strict=True)]
    parts = [basis.expand(n, -1, -1)]
    for matrices in hidden:
        parts.append(parts[-1] @ matrices)
        parts.append(torch.nn.functional.silu(parts[-1]))
    # the interpolation matrix is applied before the last layer, which is linear and the widest
    parts.append(matrix.expand(n, -1, -1) @ parts[-1])
    return [part @ w[-1] for part, w in zip(parts[-1].unbind(), weights, strict=True)], parts, hidden
