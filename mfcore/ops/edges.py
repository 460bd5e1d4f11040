"""Edges of a graph: what all operations over edges share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mfbench.mfcore.errors import ConfigError


@dataclass(frozen=True)
class Edges:
    """Which atoms the edges join.

    Attributes
    ----------
    n_atoms
        N.
    sender, receiver
        (E,) int64; `receiver` ascends.
    row_pointer
        (N + 1,) int64: the edges into atom i are row_pointer[i] … row_pointer[i + 1] - 1.

    Raises
    ------
    ConfigError
        If the tensors are not of int64.
    """

    n_atoms: int
    sender: Tensor
    receiver: Tensor
    row_pointer: Tensor

    def __post_init__(self) -> None:
        for name in ("sender", "receiver", "row_pointer"):
            tensor: Tensor = getattr(self, name)
            if tensor.dtype != torch.int64:  # kernels take addresses, and would read other numbers
                raise ConfigError(f"edges: expected {name} of int64, got {tensor.dtype}.")
            if not tensor.is_contiguous():
                object.__setattr__(self, name, tensor.contiguous())

    @cached_property
    def by_sender(self) -> tuple[Tensor, Tensor]:
        """The edges that leave atom j are order[pointer[j]] … order[pointer[j + 1] - 1].

        `pointer` is (N + 1,) int64 and `order` (E,) int64; edges of one sender keep their order. For kernels that
        sum the gradients of features without atomic additions.
        """
        sender, order = torch.sort(self.sender, stable=True)
        atoms = torch.arange(self.n_atoms + 1, device=sender.device)
        return torch.searchsorted(sender, atoms), order  # to count would be to wait for the device
