"""The convolution in plain torch: any device and dtype, and any order of derivative."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.tracing import constant_in_graph, traced


class _Block(NamedTuple):
    """The paths of one input irrep.

    Attributes
    ----------
    coefficients
        ((lmax + 1)², K · (2 l1+1)) with K = Σ over its paths of 2 l3+1.
    path_of_row
        (K,) which of its paths a row belongs to.
    rows
        2 l3+1 of each path.
    """

    coefficients: Tensor
    path_of_row: Tensor
    rows: tuple[int, ...]


@lru_cache(maxsize=256)
def _blocks(
    input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype, device: torch.device
) -> tuple[_Block, ...]:
    paths = TensorProductInstructions(input, lmax, output)
    blocks = []
    with torch.inference_mode(False):  # cached: must not become inference tensors
        for k, (l1, _, _) in enumerate(input):
            parts, rows = [], []
            for q in paths.paths_from(k):
                l2, coefficients = paths.paths[q].l2, paths.coefficients(q)
                part = np.zeros((paths.n_harmonics, coefficients.shape[2], 2 * l1 + 1))
                part[l2 * l2 : (l2 + 1) ** 2] = coefficients.transpose(1, 2, 0)
                parts.append(part)
                rows.append(coefficients.shape[2])
            stacked = np.concatenate(parts, 1) if parts else np.zeros((paths.n_harmonics, 0, 2 * l1 + 1))
            matrix = torch.from_numpy(stacked.reshape(paths.n_harmonics, -1)).to(device, dtype)
            index = torch.from_numpy(np.repeat(np.arange(len(rows)), rows)).to(device)
            blocks.append(_Block(matrix, index, tuple(rows)))
    return tuple(blocks)


def _traced_blocks(paths: TensorProductInstructions, dtype: torch.dtype, device: torch.device) -> list[_Block]:
    """As :func:`_blocks`, of constants of a graph."""
    made = []
    for k, (degree, _, _) in enumerate(paths.input):
        rows = tuple(2 * paths.output_layout[paths.paths[q].k_out][0] + 1 for q in paths.paths_from(k))
        index = [q for q, count in enumerate(rows) for _ in range(count)]
        shape = paths.n_harmonics, len(index) * (2 * degree + 1)
        matrix = torch.tensor(_numbers(paths.key, k), dtype=dtype, device=device).view(shape)
        made.append(_Block(matrix, torch.tensor(index, device=device), rows))
    return made


@constant_in_graph
def _numbers(key: str, k: int) -> list[float]:
    """All coefficients of a block: numbers, since torch.compile takes no second tensor of a function as a constant."""
    paths = TensorProductInstructions.from_key(key)
    blocks = _blocks(paths.input, paths.lmax, paths.output_irreps, torch.float64, torch.device("cpu"))
    numbers: list[float] = blocks[k].coefficients.flatten().tolist()
    return numbers


def convolve_reference(
    paths: TensorProductInstructions,
    features: Sequence[Tensor],
    sender: Tensor,
    receiver: Tensor,
    harmonics: Tensor,
    weights: Tensor,
) -> list[Tensor]:
    """Convolution with dense weights (E, n_weights): one batched matrix product per input irrep.

    The other arguments are those of ``convolve`` and of its ``EdgeGeometry``.

    Irreps of equal channel count are not merged, so that nothing of size (E, …) is sliced: the backward of
    a slice would allocate and clear all of it.
    """
    blocks: Sequence[_Block]
    if traced():
        blocks = _traced_blocks(paths, weights.dtype, weights.device)
    else:
        blocks = _blocks(paths.input, paths.lmax, paths.output_irreps, weights.dtype, weights.device)
    n_edges = weights.shape[0]
    sizes = [len(block.rows) * c for block, (_, _, c) in zip(blocks, paths.input, strict=True)]
    sums: list[Tensor] = []  # one of (n_atoms, 2 l3+1, channels) per path
    for feature, block, weight in zip(features, blocks, torch.split(weights, sizes, 1), strict=True):
        if not block.rows:
            continue
        components, channels = feature.shape[1:]
        matrix = (harmonics @ block.coefficients).view(n_edges, sum(block.rows), components)
        message = torch.bmm(matrix, feature.index_select(0, sender))
        message = message * weight.reshape(n_edges, len(block.rows), channels).index_select(1, block.path_of_row)
        total = message.new_zeros(feature.shape[0], *message.shape[1:]).index_add(0, receiver, message)
        sums.extend(torch.split(total, list(block.rows), 1))
    results = []
    for k in range(len(paths.output_layout)):
        into = [sums[q] for q in paths.paths_into(k)]
        results.append(torch.cat(into, 2) if len(into) > 1 else into[0])
    return results
