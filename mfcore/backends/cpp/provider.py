"""Kernels in generated C++, called through pointers: CPU, float32 and float64."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import compiler, load_library
from mfbench.mfcore.backends.cpp.convolution import convolution_source
from mfbench.mfcore.backends.cpp.edge_sums import edges_source
from mfbench.mfcore.backends.cpp.geometry import geometry_source
from mfbench.mfcore.backends.cpp.node_update_kernels import cpp_update
from mfbench.mfcore.backends.cpp.pointers import Pointers
from mfbench.mfcore.backends.cpp.readout import cpp_readout
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductPaths
from mfbench.mfcore.ops.protocols import (
    ConvolutionKernels,
    EdgeInputs,
    EdgeKernels,
    Edges,
    GeometryKernels,
    ReadoutKernels,
    UpdateKernels,
)

_SCALARS: dict[torch.dtype, tuple[str, Any]] = {
    torch.float32: ("float", ctypes.c_float),
    torch.float64: ("double", ctypes.c_double),
}


class CppConvolution:
    """The compiled kernels of one set of paths; see :class:`ConvolutionKernels`."""

    def __init__(self, library: ctypes.CDLL, n_inputs: int) -> None:
        self._functions: dict[str, Any] = {}
        for name in ("forward", "backward_geometry", "backward_parameters", "double_backward"):
            function = getattr(library, name)
            function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int]
            function.restype = ctypes.c_int
            self._functions[name] = function
        self._no_features = [None] * n_inputs

    def _run(self, name: str, edges: Edges, inputs: EdgeInputs, *groups: Sequence[Tensor | None]) -> None:
        """Call a kernel with pointers to (row pointer, sender, *inputs, *groups)."""
        pointers = Pointers((edges.row_pointer, edges.sender), inputs, *groups)
        if self._functions[name](pointers.address, edges.n_atoms, inputs.table.shape[0], torch.get_num_threads()):
            raise MemoryError("a convolution kernel could not allocate its buffers.")

    def forward(self, edges: Edges, inputs: EdgeInputs, features: Sequence[Tensor], out: Sequence[Tensor]) -> None:
        """See :meth:`ConvolutionKernels.forward`."""
        self._run("forward", edges, inputs, features, out)

    def backward_geometry(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_harmonics: Tensor,
        for_spline: Tensor,
    ) -> None:
        """See :meth:`ConvolutionKernels.backward_geometry`."""
        made = for_features or self._no_features
        self._run("backward_geometry", edges, inputs, features, cotangents, (for_harmonics, for_spline), made)

    def backward_parameters(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_table: Tensor,
    ) -> None:
        """See :meth:`ConvolutionKernels.backward_parameters`."""
        made = for_features or self._no_features
        self._run("backward_parameters", edges, inputs, features, cotangents, made, (for_table,))

    def double_backward(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        along_features: Sequence[Tensor],
        along_harmonics: Tensor,
        along_spline: Tensor,
        for_cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor],
        for_table: Tensor,
    ) -> None:
        """See :meth:`ConvolutionKernels.double_backward`."""
        directions = (*along_features, along_harmonics, along_spline)
        results = (*for_cotangents, *for_features, for_table)
        self._run("double_backward", edges, inputs, features, cotangents, directions, results)


class CppGeometry:
    """The compiled geometry operator; see :class:`GeometryKernels`."""

    def __init__(self, library: ctypes.CDLL, number: Any) -> None:
        self._functions: dict[str, Any] = {}
        for name in ("forward", "backward", "tangent"):
            function = getattr(library, f"geometry_{name}")
            pointers = [ctypes.c_void_p] * 3
            function.argtypes = [ctypes.c_int64, ctypes.c_void_p, number, ctypes.c_int, *pointers, ctypes.c_int]
            function.restype = None
            self._functions[name] = function

    def _run(self, name: str, vectors: Tensor, cutoff: float, n_knots: int, *tensors: Tensor) -> None:
        pointers = [tensor.data_ptr() for tensor in tensors]
        threads = torch.get_num_threads()
        self._functions[name](vectors.shape[0], vectors.data_ptr(), cutoff, n_knots, *pointers, threads)

    def forward(
        self, vectors: Tensor, cutoff: float, n_knots: int, harmonics: Tensor, knot: Tensor, spline: Tensor
    ) -> None:
        """See :meth:`GeometryKernels.forward`."""
        self._run("forward", vectors, cutoff, n_knots, harmonics, knot, spline)

    def backward(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        for_harmonics: Tensor,
        for_spline: Tensor,
        for_vectors: Tensor,
    ) -> None:
        """See :meth:`GeometryKernels.backward`."""
        self._run("backward", vectors, cutoff, n_knots, for_harmonics, for_spline, for_vectors)

    def tangent(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        along_vectors: Tensor,
        along_harmonics: Tensor,
        along_spline: Tensor,
    ) -> None:
        """See :meth:`GeometryKernels.tangent`."""
        self._run("tangent", vectors, cutoff, n_knots, along_vectors, along_harmonics, along_spline)


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
def _edges(scalar: str) -> CppEdges:
    return CppEdges(load_library(f"edges {scalar}", lambda: edges_source(scalar)))


@cache
def _convolution(input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype) -> CppConvolution:
    scalar, _ = _SCALARS[dtype]

    def source() -> str:
        return convolution_source(TensorProductPaths(input, lmax, output), scalar)

    return CppConvolution(load_library(f"convolution {input} {lmax} {output} {scalar}", source), len(input))


@cache
def _geometry(lmax: int, envelope_power: int, dtype: torch.dtype) -> CppGeometry:
    scalar, number = _SCALARS[dtype]
    key = f"geometry {lmax} {envelope_power} {scalar}"
    return CppGeometry(load_library(key, lambda: geometry_source(lmax, envelope_power, scalar)), number)


class CppProvider:
    """See :class:`~mfbench.mfcore.ops.protocols.Provider`."""

    title = "generated C++"
    device = "cpu"
    dtypes = tuple(_SCALARS)

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        return None if compiler() else "no C++ compiler was found (g++, c++ or clang++ on the PATH, or $CXX)."

    def convolution(self, paths: TensorProductPaths, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        return _convolution(paths.input, paths.lmax, paths.output_irreps, dtype)

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        return _geometry(lmax, envelope_power, dtype)

    def update(self, dtype: torch.dtype) -> UpdateKernels:
        """See :meth:`Provider.update`."""
        return cpp_update(_SCALARS[dtype][0])

    def edges(self, dtype: torch.dtype) -> EdgeKernels:
        """See :meth:`Provider.edges`."""
        return _edges(_SCALARS[dtype][0])

    def readout(self, dtype: torch.dtype) -> ReadoutKernels:
        """See :meth:`Provider.readout`."""
        return cpp_readout(_SCALARS[dtype][0])
