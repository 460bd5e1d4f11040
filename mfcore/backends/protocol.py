"""Providers of kernels: to be written against for a new backend."""

from __future__ import annotations

from typing import Protocol

import torch

from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels
from mfbench.mfcore.ops.edge_sums.protocol import EdgeKernels
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels
from mfbench.mfcore.ops.node_update.protocol import UpdateKernels
from mfbench.mfcore.ops.readout.protocol import ReadoutKernels


class KernelsUnavailable(Exception):
    """The kernels cannot be made or loaded here; the message says why, as a sentence."""


class Provider(Protocol):
    """A source of kernels. One object per process; it keeps the kernels that it has made.

    Attributes
    ----------
    title
        What it is, for people: "generated C++".
    device
        Type of the torch device that it is for: "cpu" or "cuda".
    dtypes
        What it can compute in.
    """

    title: str
    device: str
    dtypes: tuple[torch.dtype, ...]

    def obstacle(self) -> str | None:
        """Why it cannot be used on this machine, as a sentence; None if it seems that it can. Makes no kernels."""

    def convolution(self, paths: TensorProductInstructions, dtype: torch.dtype) -> ConvolutionKernels:
        """Kernels of these paths. Raises KernelsUnavailable."""

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """Kernels of edge vectors. Raises KernelsUnavailable."""

    def update(self, dtype: torch.dtype) -> UpdateKernels | None:
        """Kernels of node updates, or None if it has none. Raises KernelsUnavailable."""

    def edges(self, dtype: torch.dtype) -> EdgeKernels | None:
        """Kernels of sums over edges, or None if it has none. Raises KernelsUnavailable."""

    def readout(self, dtype: torch.dtype) -> ReadoutKernels | None:
        """Kernels of readouts, or None if it has none. Raises KernelsUnavailable."""
