"""Sums over edges in C++, called through pointers.

Each thread owns some atoms and reads the senders of all edges, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.cpp.source import SCALARS, template, vectors
from mfbench.mfcore.ops.edges import Edges


def edge_sums_source(scalar: str) -> str:
    """C++ source of the sums for `scalar` "float" or "double"."""
    return vectors(scalar) + template("edge_sums.cpp")


class CppEdges:
    """The compiled sums over edges in one dtype; see :class:`EdgeKernels`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._differences, self._sums = library.edge_differences, library.edge_sums
        for function, pointers in ((self._differences, 5), (self._sums, 4)):
            function.argtypes = [ctypes.c_int64, *[ctypes.c_void_p] * pointers, ctypes.c_int]
            function.restype = None

    def differences(self, first: Tensor, second: Tensor, atoms: Tensor, added: Tensor | None, out: Tensor) -> None:
        """See :meth:`EdgeKernels.differences`."""
        pointers = [first.data_ptr(), second.data_ptr(), atoms.data_ptr(), 0 if added is None else added.data_ptr()]
        self._differences(first.shape[0], *pointers, out.data_ptr(), torch.get_num_threads())

    def sums(self, edges: Edges, per_edge: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeKernels.sums`."""
        pointers = [tensor.data_ptr() for tensor in (edges.row_pointer, edges.sender, per_edge, out)]
        self._sums(edges.n_atoms, *pointers, torch.get_num_threads())


@cache
def cpp_edges(dtype: torch.dtype) -> CppEdges:
    """The compiled sums in one dtype. Raises KernelsUnavailable."""
    scalar = SCALARS[dtype]
    return CppEdges(load_library(f"edges {scalar}", lambda: edge_sums_source(scalar)))
