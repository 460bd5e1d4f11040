"""Kernels in Triton: CUDA."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import torch

from mfcore.nn.convolution.kernels import ConvolutionKernels, GeometryKernels
from mfcore.nn.convolution.paths import TensorProductPaths

_PARTS = ("mfcore.nn.convolution.triton_convolution", "mfcore.nn.convolution.triton_geometry")


class TritonProvider:
    """See :class:`~mfcore.nn.convolution.kernels.Provider`."""

    title = "Triton"
    device = "cuda"
    dtypes = (torch.float32, torch.float64)

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        if not torch.cuda.is_available():
            return "torch finds no CUDA device."
        if find_spec("triton") is None:
            return "Triton is not installed (python -m pip install triton)."
        if any(find_spec(part) is None for part in _PARTS):
            return "this version has no kernels for CUDA."
        return None

    def convolution(self, paths: TensorProductPaths, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        made: ConvolutionKernels = import_module(_PARTS[0]).convolution_kernels(paths, dtype)
        return made

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        made: GeometryKernels = import_module(_PARTS[1]).geometry_kernels(lmax, envelope_power, dtype)
        return made
