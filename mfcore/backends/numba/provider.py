"""Kernels compiled by numba, called through pointers: CPU, float32 and float64, without a C++ compiler.

They are the program of the C++ kernels in another language, at about the same speed; compiling takes a few seconds a
kernel, and each is compiled only when it is called.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch

from mfbench.mfcore.backends.numba.kernels import SCALARS, numba_convolution, numba_geometry
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels


class NumbaProvider:
    """See :class:`~mfbench.mfcore.backends.protocol.Provider`."""

    title = "generated code compiled by numba"
    device = "cpu"
    dtypes = tuple(SCALARS)

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        return None if find_spec("numba") else "numba is not installed (python -m pip install numba)."

    def convolution(self, paths: TensorProductInstructions, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        return numba_convolution(paths.input, paths.lmax, paths.output_irreps, dtype)

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        return numba_geometry(lmax, envelope_power, dtype)

    def update(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.update`: it has none."""

    def edges(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.edges`: it has none."""

    def readout(self, dtype: torch.dtype) -> None:
        """See :meth:`Provider.readout`: it has none."""
