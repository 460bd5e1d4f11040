"""Readouts of MACE with several heads: one of them alone, or one copied for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mfbench.mfcore.errors import ConfigError

Weights = list[Tensor]
"""Effective matrices of a readout with one head: (C, 1), or (C, H) and (H, 1)."""


@torch.no_grad()
def head_of(readouts: Sequence[Any], n_heads: int, head: int) -> list[Weights]:
    """Return the effective matrices of one head of all readouts.

    Raises
    ------
    ConfigError
        If a readout is of another kind than mace's linear or non-linear one.
    """
    found = []
    for readout in readouts:
        last = _matrix(_linears(readout)[-1])
        if len(_linears(readout)) == 1:
            found.append([last[:, head : head + 1]])
            continue
        first = _matrix(readout.linear_1)
        hidden = slice(head * first.shape[1] // n_heads, (head + 1) * first.shape[1] // n_heads)
        found.append([first[:, hidden], last[hidden, head : head + 1]])
    return found


@torch.no_grad()
def spread_head(weights: Sequence[Weights], readouts: Sequence[Any], n_heads: int) -> None:
    """Give all heads of readouts the matrices of one."""
    for matrices, readout in zip(weights, readouts, strict=True):
        linears = _linears(readout)
        if len(matrices) == 1:
            _set(linears[0], matrices[0].repeat(1, n_heads))
            continue
        first, last = matrices
        _set(linears[0], first.repeat(1, n_heads))
        _set(linears[1], torch.block_diag(*[last] * n_heads))  # a head's hidden features are masked for the others


def _linears(readout: nn.Module) -> list[Any]:
    kind = type(readout).__name__
    if kind == "LinearReadoutBlock":
        return [readout.linear]
    if kind == "NonLinearReadoutBlock":
        return [readout.linear_1, readout.linear_2]
    raise ConfigError(f"core 'mace': readouts of kind {kind} are not known; expected linear or non-linear ones.")


def _matrix(linear: Any) -> Tensor:
    weight: Tensor = linear.weight_view_for_instruction(0)
    return weight * float(linear.instructions[0].path_weight)


def _set(linear: Any, matrix: Tensor) -> None:
    linear.weight_view_for_instruction(0).copy_(matrix / linear.instructions[0].path_weight)
