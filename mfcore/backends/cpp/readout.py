"""The readout in C++, called through pointers.

A row of hidden numbers has few vectors, so that loops over them are enough, and nothing is kept between the passes
but what the caller gives. What is summed over atoms is summed in their order, whatever the number of threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.cpp.products import products_source
from mfbench.mfcore.backends.cpp.source import SCALARS, template, vectors
from mfbench.mfcore.ops.activations import GATE_SCALE


def readout_source(scalar: str) -> str:
    """C++ source of the readout for `scalar` "float" or "double"."""
    readout = template("readout.cpp", GATE=repr(GATE_SCALE))
    return "\n".join([vectors(scalar), products_source(scalar), readout])


class CppReadout:
    """The compiled readout in one dtype; see :class:`ReadoutKernels`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions: dict[str, Any] = {}
        for name, pointers in (("forward", 6), ("backward", 8), ("double", 8)):
            function = getattr(library, f"readout_{name}")
            function.argtypes = [*[ctypes.c_int64] * 4, *[ctypes.c_void_p] * pointers, ctypes.c_int]
            function.restype = ctypes.c_int
            self._functions[name] = function
        self._matrix = library.readout_matrix
        self._matrix.argtypes = [*[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 3]
        self._matrix.restype = None

    def _run(self, name: str, hidden: Tensor, out: Tensor, atoms: int, *tensors: Tensor | None) -> None:
        step = hidden.shape[1] if out.shape[0] > 1 else 0
        pointers = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
        if self._functions[name](atoms, *hidden.shape, step, *pointers, torch.get_num_threads()):
            raise MemoryError("the readout could not allocate its buffers.")

    def _summed(self, left: Tensor, right: Tensor) -> Tensor:
        """The matrix product of left, transposed, and right."""
        made = left.new_empty(left.shape[1], right.shape[1])
        self._matrix(left.shape[0], *made.shape, left.data_ptr(), right.data_ptr(), made.data_ptr())
        return made

    def forward(self, scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
        """See :meth:`ReadoutKernels.forward`."""
        n = scalars.shape[0]
        scalars, hidden, out = scalars.contiguous(), hidden.contiguous(), out.contiguous()
        added = None if added is None else added.contiguous()
        energy, z = scalars.new_empty(n), scalars.new_empty(n, hidden.shape[1])
        self._run("forward", hidden, out, n, scalars, hidden, out, added, energy, z)
        return energy, z

    def backward(
        self,
        scalars: Tensor | None,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor | None,
        for_z: Tensor | None,
        flags: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
        """See :meth:`ReadoutKernels.backward`."""
        hidden, out = hidden.contiguous(), out.contiguous()
        cotangent = None if cotangent is None else cotangent.contiguous()
        for_z = None if for_z is None else for_z.contiguous()
        turned = torch.empty_like(z)
        for_scalars = z.new_empty(z.shape[0], hidden.shape[0]) if flags[0] else None
        for_out = torch.empty_like(z) if flags[2] and cotangent is not None else None
        made = cotangent, for_z, turned, for_scalars, for_out
        self._run("backward", hidden, out, z.shape[0], z, hidden, out, *made)
        for_hidden = self._summed(scalars.contiguous(), turned) if flags[1] and scalars is not None else None
        return for_scalars, for_hidden, for_out, turned

    def double_backward(
        self,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor,
        turned: Tensor,
        direction: Tensor,
        flags: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """See :meth:`ReadoutKernels.double_backward`."""
        hidden, out = hidden.contiguous(), out.contiguous()
        cotangent, direction = cotangent.contiguous(), direction.contiguous()
        for_cotangent = torch.empty_like(cotangent) if flags[0] else None
        for_z, for_out = torch.empty_like(z), torch.empty_like(z) if flags[3] else None
        made = for_cotangent, for_z, for_out
        self._run("double", hidden, out, z.shape[0], z, hidden, out, cotangent, direction, *made)
        for_hidden = self._summed(direction, turned) if flags[2] else None
        return for_cotangent, for_z, for_hidden, for_out


@cache
def cpp_readout(dtype: torch.dtype) -> CppReadout:
    """The compiled readout in one dtype. Raises KernelsUnavailable."""
    scalar = SCALARS[dtype]
    key = f"readout {scalar} {GATE_SCALE!r}"
    return CppReadout(load_library(key, lambda: readout_source(scalar)))
