"""Registration with torch.library: for torch.compile and torch.export, each operation by kernels is one node.

A registered operation takes tensors, numbers and texts only, so that an exported program can be stored and run in
another process. Eager code does not go through them: a training step differentiates twice, and autograd functions
that ask torch's engine what it will use (:mod:`mfbench.mfcore.ops.autograd`) are called with less ceremony. Radial
tables, which are a few dense products, are plain torch under compilers, and so is everything for which a backend has no
kernels: compilers fuse it themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import Kernels, kernels_for, kernels_on
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.tracing import constant_in_graph, traced


def kernels_or_name(backend: Backend, like: Tensor, table: bool) -> Backend | Kernels:
    """The kernels of a whole pass, looked up once; in a traced one the name, as registered operations take it."""
    return backend if traced() else kernels_for(backend, like, table)


def name_of(backend: Backend | Kernels) -> Backend:
    """The backend as registered operations take it."""
    return backend.backend if isinstance(backend, Kernels) else backend


@constant_in_graph
def convolves(backend: Backend, key: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Say that a backend has kernels for the convolution with these instructions."""
    return kernels_on(backend, device, dtype).convolution(TensorProductInstructions.from_key(key)) is not None


@constant_in_graph
def has_geometry(backend: Backend, lmax: int, envelope_power: int, device: torch.device, dtype: torch.dtype) -> bool:
    """Say that a backend has kernels for the geometry operator."""
    return kernels_on(backend, device, dtype).geometry(lmax, envelope_power) is not None


@constant_in_graph
def has_edges(backend: Backend, device: torch.device, dtype: torch.dtype) -> bool:
    """Say that a backend has kernels for sums over edges."""
    return kernels_on(backend, device, dtype).edges is not None


@constant_in_graph
def has_updates(backend: Backend, device: torch.device, dtype: torch.dtype) -> bool:
    """Say that a backend has kernels for node updates."""
    return kernels_on(backend, device, dtype).update is not None


@constant_in_graph
def has_readouts(backend: Backend, device: torch.device, dtype: torch.dtype) -> bool:
    """Say that a backend has kernels for readouts."""
    return kernels_on(backend, device, dtype).readout is not None


def missing(operation: str, backend: str, device: torch.device, dtype: torch.dtype) -> ConfigError:
    """The error for a program that was compiled or exported with kernels, and runs where there are none."""
    return ConfigError(
        f"mfbench::{operation}: expected kernels of backend '{backend}' for {dtype} on {device}, found none. Export or "
        "compile again here, or install what `mfbench info` says is missing."
    )
