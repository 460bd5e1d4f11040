"""Kernels in Triton: CUDA, float32 and float64.

Generated from the same program as the CPU's kernels; see :mod:`mfbench.mfcore.backends.triton.program` for how they
divide the work. Nothing is atomic: results repeat bit for bit. A kernel is compiled when it is first called, in a few
seconds; Triton keeps what it has compiled in its own cache folder.

What stands behind them: they are tested against the reference by Triton's interpreter (TRITON_INTERPRET=1), which
runs them on the CPU, and they are compiled for GPUs of compute capability 8.0 and 9.0. They have never been run or
timed on a GPU: block sizes and the number of warps are chosen by register counts, not by measurement.
``python -m mfbench.benchmarks.performance.gpu_check`` does both where there is one.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import torch

from mfbench.mfcore.backends.triton.compile import interpreted
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels

_PARTS = "mfbench.mfcore.backends.triton"
_LEAST_CAPABILITY = (8, 0)  # of a GPU, by what the kernels are compiled for in tests


class TritonProvider:
    """See :class:`~mfbench.mfcore.backends.protocol.Provider`. Under Triton's interpreter it is one for the CPU."""

    dtypes = (torch.float32, torch.float64)

    def __init__(self) -> None:
        self.title = "Triton's interpreter, for tests" if interpreted() else "Triton"
        self.device = "cpu" if interpreted() else "cuda"

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        if find_spec("triton") is None:
            return "Triton is not installed (python -m pip install triton)."
        if interpreted():
            return None
        if not torch.cuda.is_available():
            return "torch finds no CUDA device."
        if torch.version.cuda is None:
            return "torch was not built for CUDA."
        capability = torch.cuda.get_device_capability()
        if capability < _LEAST_CAPABILITY:
            return f"the GPU has compute capability {capability[0]}.{capability[1]}, below 8.0."
        return None

    def convolution(self, paths: TensorProductInstructions, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        made: ConvolutionKernels = import_module(f"{_PARTS}.convolution").convolution_kernels(paths, dtype)
        return made

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        made: GeometryKernels = import_module(f"{_PARTS}.geometry").geometry_kernels(lmax, envelope_power, dtype)
        return made

    def update(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.update`: it has none."""

    def edges(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.edges`: it has none."""

    def readout(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.readout`: it has none."""
