"""Kernels compiled by numba, called through pointers: CPU, float32 and float64, without a C++ compiler.

They are the program of the C++ kernels in another language, at about the same speed; compiling takes a few seconds a
kernel, and each is compiled only when it is called. A kernel runs without Python's lock over a range of receivers, so
threads of Python divide the work.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import cache_directory
from mfbench.mfcore.files import write_text
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductPaths
from mfbench.mfcore.ops.protocols import (
    ConvolutionKernels,
    EdgeInputs,
    Edges,
    GeometryKernels,
    KernelsUnavailable,
)

_log = logging.getLogger("mfbench")
_SCALARS = {torch.float32: "float32", torch.float64: "float64"}
_SOURCES = (
    "backends/ir.py",
    "backends/numba/convolution.py",
    "backends/numba/geometry.py",
    "backends/numba/vectors.py",
    "ops/convolution/instructions.py",
    "ops/geometry/harmonics.py",
)
_EDGES_PER_THREAD = 512  # fewer are not worth a thread


@cache
def _generators() -> str:
    import llvmlite
    import numba

    texts = [(Path(__file__).parents[2] / name).read_text() for name in _SOURCES]
    return "\n".join([numba.__version__, llvmlite.__version__, *texts])


def _registers(dtype: torch.dtype) -> int:
    """Numbers in this CPU's vector registers."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    size = 64 if features.get("avx512f") else 32 if features.get("avx") else 16
    return size // dtype.itemsize


def _load(source: str) -> int:
    """Address of the kernel in a generated module; numba keeps the compiled code beside the module's file.

    Raises
    ------
    KernelsUnavailable
        If it cannot be compiled or written.
    """
    name = f"mfbench_{hashlib.sha256((source + _generators()).encode()).hexdigest()[:32]}"
    path = cache_directory() / f"{name}.py"
    try:
        if not path.exists():
            _log.info("compiling a convolution kernel by numba (once; kept in %s)", path.parent)
            write_text(path, source)
        specification = spec_from_file_location(name, path)
        assert specification is not None
        assert specification.loader is not None
        module = module_from_spec(specification)
        sys.modules[name] = module  # where numba looks for it when it loads compiled code
        specification.loader.exec_module(module)
        address: int = module.kernel.address
    except Exception as error:  # numba raises many kinds
        raise KernelsUnavailable(f"numba failed: {' '.join(str(error).split())[:500]}.") from error
    return address


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

    def __init__(self, paths: TensorProductPaths, dtype: torch.dtype) -> None:
        self._paths, self._dtype = paths, dtype
        self._functions: dict[str, Any] = {}
        self._function("forward")  # so that it shows at once if nothing can be compiled

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            from mfbench.mfcore.backends.numba.convolution import convolution_source

            divisor = math.gcd(*(channels for _, _, channels in self._paths.input))
            lanes = min(_registers(self._dtype), divisor & -divisor)
            address = _load(convolution_source(self._paths, name, _SCALARS[self._dtype], lanes))
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
        self._settings = (lmax, envelope_power, _SCALARS[dtype])
        self._functions: dict[str, Any] = {}
        self._function("forward")

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            from mfbench.mfcore.backends.numba.geometry import geometry_source

            integers = [ctypes.c_int64] * 3
            kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_double, *integers)
            self._functions[name] = kind(_load(geometry_source(name, *self._settings)))
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
def _convolution(input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype) -> NumbaConvolution:
    return NumbaConvolution(TensorProductPaths(input, lmax, output), dtype)


@cache
def _geometry(lmax: int, envelope_power: int, dtype: torch.dtype) -> NumbaGeometry:
    return NumbaGeometry(lmax, envelope_power, dtype)


class NumbaProvider:
    """See :class:`~mfbench.mfcore.ops.protocols.Provider`."""

    title = "generated code compiled by numba"
    device = "cpu"
    dtypes = tuple(_SCALARS)

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        return None if find_spec("numba") else "numba is not installed (python -m pip install numba)."

    def convolution(self, paths: TensorProductPaths, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        return _convolution(paths.input, paths.lmax, paths.output_irreps, dtype)

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        return _geometry(lmax, envelope_power, dtype)

    def update(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.update`: it has none."""

    def edges(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.edges`: it has none."""

    def readout(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.readout`: it has none."""
