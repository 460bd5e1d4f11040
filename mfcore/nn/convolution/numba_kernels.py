"""Kernels compiled by numba: CPU, float32 and float64, without a C++ compiler."""

from __future__ import annotations

import torch

from mfcore.nn.convolution.kernels import ConvolutionKernels, GeometryKernels, KernelsUnavailable
from mfcore.nn.convolution.paths import TensorProductPaths


class NumbaProvider:
    """See :class:`~mfcore.nn.convolution.kernels.Provider`."""

    title = "numba"
    device = "cpu"
    dtypes = (torch.float32, torch.float64)

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        return "this version has no numba kernels."

    def convolution(self, paths: TensorProductPaths, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        raise KernelsUnavailable("this version has no numba kernels.")

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        raise KernelsUnavailable("this version has no numba kernels.")
