"""Kernels in generated C++, called through pointers: CPU, float32 and float64."""

from __future__ import annotations

import torch

from mfbench.mfcore.backends.cpp.compile import compiler
from mfbench.mfcore.backends.cpp.convolution import cpp_convolution
from mfbench.mfcore.backends.cpp.edge_sums import cpp_edges
from mfbench.mfcore.backends.cpp.geometry import cpp_geometry
from mfbench.mfcore.backends.cpp.node_update import cpp_update
from mfbench.mfcore.backends.cpp.readout import cpp_readout
from mfbench.mfcore.backends.cpp.source import SCALARS
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels
from mfbench.mfcore.ops.edge_sums.protocol import EdgeKernels
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels
from mfbench.mfcore.ops.node_update.protocol import UpdateKernels
from mfbench.mfcore.ops.readout.protocol import ReadoutKernels


class CppProvider:
    """See :class:`~mfbench.mfcore.backends.protocol.Provider`."""

    title = "generated C++"
    device = "cpu"
    dtypes = tuple(SCALARS)

    def obstacle(self) -> str | None:
        """See :meth:`Provider.obstacle`."""
        return None if compiler() else "no C++ compiler was found (g++, c++ or clang++ on the PATH, or $CXX)."

    def convolution(self, paths: TensorProductInstructions, dtype: torch.dtype) -> ConvolutionKernels:
        """See :meth:`Provider.convolution`."""
        return cpp_convolution(paths.input, paths.lmax, paths.output_irreps, dtype)

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """See :meth:`Provider.geometry`."""
        return cpp_geometry(lmax, envelope_power, dtype)

    def update(self, dtype: torch.dtype) -> UpdateKernels:
        """See :meth:`Provider.update`."""
        return cpp_update(dtype)

    def edges(self, dtype: torch.dtype) -> EdgeKernels:
        """See :meth:`Provider.edges`."""
        return cpp_edges(dtype)

    def readout(self, dtype: torch.dtype) -> ReadoutKernels:
        """See :meth:`Provider.readout`."""
        return cpp_readout(dtype)
