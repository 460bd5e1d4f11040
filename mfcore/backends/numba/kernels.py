"""Kernels compiled by numba, called through pointers.

A kernel runs without Python's lock over a range of receivers, so threads of Python divide the work.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.numba.compile import load
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import EdgeInputs
from mfbench.mfcore.ops.edges import Edges

SCALARS = {torch.float32: "float32", torch.float64: "float64"}
_EDGES_PER_THREAD = 512  # fewer are not worth a thread


def _registers(dtype: torch.dtype) -> int:
    """Numbers in this CPU's vector registers."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    size = 64 if features.get("avx512f") else 32 if features.get("avx") else 16
    return size // dtype.itemsize


@cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mfbench")


def _parallel(work: Callable[[int], None], threads: int) -> None:
    """Call work(0) … work(threads - 1), each in its thread."""
    if threads == 1:
        work(0)
    else:
        for _ in _workers(os.getpid(), threads).map(work, range(threads)):
            pass


def _threads(n_edges: int) -> int:
    return max(1, min(torch.get_num_threads(), n_edges // _EDGES_PER_THREAD))


def _addresses(tensors: Iterable[Tensor | None]) -> Any:
    values = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
    return (ctypes.c_int64 * len(values))(*values)


class NumbaConvolution:
    """The compiled kernels of one set of paths; see :class:`ConvolutionKernels`."""

    def __init__(self, paths: TensorProductInstructions, dtype: torch.dtype) -> None:
        self._paths, self._dtype = paths, dtype
        self._functions: dict[str, Any] = {}
        self._function("forward")  # so that it shows at once if nothing can be compiled

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            from mfbench.mfcore.backends.numba.convolution import convolution_source

            divisor = math.gcd(*(channels for _, _, channels in self._paths.input))
            lanes = min(_registers(self._dtype), divisor & -divisor)
            address = load(convolution_source(self._paths, name, SCALARS[self._dtype], lanes))
            kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
            self._functions[name] = kind(address)
        return self._functions[name]

    def _run(
        self,
        name: str,
        edges: Edges,
        inputs: EdgeInputs,
        tensors: Sequence[Tensor | None],
        sums: Sequence[Tensor | None] = (),
    ) -> None:
        """Call a kernel on all receivers.

        `tensors` are what it is given after the inputs, `sums` what comes last: tensors that every receiver may add
        to, so each thread has its own, and they are added up in the order of the threads.
        """
        function = self._function(name)
        threads = _threads(edges.sender.shape[0])
        targets = torch.arange(1, threads) * edges.sender.shape[0] // threads
        bounds = [0, *torch.searchsorted(edges.row_pointer, targets).tolist(), edges.n_atoms]
        made = [None if s is None else s.new_zeros(threads, *s.shape) if threads > 1 else s.zero_()[None] for s in sums]

        def work(k: int) -> None:
            own = [None if several is None else several[k] for several in made]
            values = _addresses([edges.row_pointer, edges.sender, *inputs, *tensors, *own])
            function(ctypes.addressof(values), bounds[k], bounds[k + 1])

        _parallel(work, threads)
        if threads > 1:
            for total, several in zip(sums, made, strict=True):
                if total is not None and several is not None:
                    torch.sum(several, 0, out=total)

    def forward(self, edges: Edges, inputs: EdgeInputs, features: Sequence[Tensor], out: Sequence[Tensor]) -> None:
        """See :meth:`ConvolutionKernels.forward`."""
        self._run("forward", edges, inputs, [*features, *out])

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
        given = [*features, *cotangents, for_harmonics, for_spline]
        self._run("backward_geometry", edges, inputs, given, for_features or (None,) * len(features))

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
        sums: list[Tensor | None] = [*(for_features or (None,) * len(features)), for_table]
        self._run("backward_parameters", edges, inputs, [*features, *cotangents], sums)

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
        given = [*features, *cotangents, *along_features, along_harmonics, along_spline, *for_cotangents]
        self._run("double_backward", edges, inputs, given, [*for_features, for_table])


class NumbaGeometry:
    """The compiled geometry operator; see :class:`GeometryKernels`."""

    def __init__(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> None:
        self._settings = (lmax, envelope_power, SCALARS[dtype])
        self._functions: dict[str, Any] = {}
        self._function("forward")

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            from mfbench.mfcore.backends.numba.geometry import geometry_source

            integers = [ctypes.c_int64] * 3
            kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_double, *integers)
            self._functions[name] = kind(load(geometry_source(name, *self._settings)))
        return self._functions[name]

    def _run(self, name: str, vectors: Tensor, cutoff: float, n_knots: int, *tensors: Tensor) -> None:
        function = self._function(name)
        n = vectors.shape[0]
        threads = _threads(n)
        values = _addresses([vectors, *tensors])

        def work(k: int) -> None:
            function(ctypes.addressof(values), cutoff, n_knots, n * k // threads, n * (k + 1) // threads)

        _parallel(work, threads)

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


@cache
def numba_convolution(
    input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype
) -> NumbaConvolution:
    """The compiled kernels of the paths between these irreps. Raises KernelsUnavailable."""
    return NumbaConvolution(TensorProductInstructions(input, lmax, output), dtype)


@cache
def numba_geometry(lmax: int, envelope_power: int, dtype: torch.dtype) -> NumbaGeometry:
    """The compiled operator. Raises KernelsUnavailable."""
    return NumbaGeometry(lmax, envelope_power, dtype)
