"""Addresses of tensors, as compiled kernels take them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from torch import Tensor


class Pointers:
    """An array of the addresses of the tensors of some groups, 0 for none; it lives as long as this object.

    Attributes
    ----------
    address
        Of the array.
    """

    def __init__(self, *groups: Sequence[Tensor | None]) -> None:
        # one comprehension and no ctypes array: a training step asks for hundreds of addresses
        self._numbers = array("Q", [0 if tensor is None else tensor.data_ptr() for group in groups for tensor in group])
        self.address = self._numbers.buffer_info()[0]
