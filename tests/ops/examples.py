"""Random graphs, and the few sets of paths and the backends that the tests of this folder share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import provider
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.convolution.op import convolve
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.op import edge_geometry
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.radial.functions import RadialMode
from mfbench.mfcore.ops.radial.network import RadialNetwork

CUTOFF = 5.0
LAYOUTS: dict[str, tuple[Layout, int, list[tuple[int, int]]]] = {
    "scalars and an unused irrep, lmax 1": (((0, 1, 3), (2, -1, 2)), 1, [(0, 1), (1, -1)]),
    "natural parity, lmax 2": (((0, 1, 8), (1, -1, 8), (2, 1, 8)), 2, [(0, 1), (1, -1), (2, 1)]),
    "both parities, unequal channels": (
        ((0, 1, 4), (0, -1, 2), (1, -1, 6), (1, 1, 2)),
        1,
        [(0, 1), (0, -1), (1, 1), (1, -1), (2, -1)],
    ),
    "lmax 3": (((0, 1, 2), (3, -1, 4)), 3, [(0, 1), (2, 1), (3, -1)]),
}


#: Kernels of each backend are compiled for these, and for no others: compiling is what takes the time.
NAMES: dict[str, list[str]] = {
    "cpp": sorted(LAYOUTS),
    "numba": ["both parities, unequal channels", "scalars and an unused irrep, lmax 1"],
    "triton": sorted(LAYOUTS),
}


def skip_without(backend: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where the kernels of a backend cannot be used."""
    obstacle = provider(backend).obstacle()
    return pytest.mark.skipif(obstacle is not None, reason=f"{backend}: {obstacle}")


#: All backends that provide kernels; a test is run on those that this machine has.
KERNELS: list[Any] = [pytest.param(name, marks=skip_without(name)) for name in NAMES]


def device_of(backend: str) -> torch.device:
    return torch.device("cpu" if backend in ("auto", "reference") else provider(backend).device)


def paths_named(name: str) -> TensorProductInstructions:
    layout, lmax, output = LAYOUTS[name]
    return TensorProductInstructions(layout, lmax, output)


@dataclass
class Graph:
    n_atoms: int
    vectors: Tensor
    sender: Tensor
    receiver: Tensor
    row_pointer: Tensor

    def to(self, device: torch.device) -> Graph:
        moved = {name: getattr(self, name).to(device) for name in ("vectors", "sender", "receiver", "row_pointer")}
        return replace(self, **moved)

    def geometry(self, radial: RadialNetwork, lmax: int, backend: Backend = "auto") -> EdgeGeometry:
        return edge_geometry(
            self.vectors,
            Edges(self.n_atoms, self.sender, self.receiver, self.row_pointer),
            lmax,
            radial.settings,
            backend,
        )


def random_graph(n_atoms: int, n_edges: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Graph:
    """Edges between any atoms, some longer than the cutoff; atoms without edges occur."""
    generator = torch.Generator().manual_seed(seed)
    receiver = torch.randint(0, n_atoms, (n_edges,), generator=generator).sort().values
    sender = torch.randint(0, n_atoms, (n_edges,), generator=generator)
    row_pointer = torch.zeros(n_atoms + 1, dtype=torch.int64)
    row_pointer[1:] = torch.bincount(receiver, minlength=n_atoms).cumsum(0)
    direction = torch.nn.functional.normalize(torch.randn(n_edges, 3, generator=generator, dtype=torch.float64), dim=1)
    length = 0.5 + (1.1 * CUTOFF - 0.5) * torch.rand(n_edges, 1, generator=generator, dtype=torch.float64)
    vectors = (direction * length).to(dtype)
    return Graph(n_atoms, vectors, sender, receiver, row_pointer)


def random_features(paths: TensorProductInstructions, n_atoms: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n_atoms, 2 * d + 1, c, generator=generator, dtype=torch.float64) for d, _, c in paths.input]


def radial_for(
    paths: TensorProductInstructions, mode: RadialMode = "table", seed: int = 0, hidden: tuple[int, ...] = (8,)
) -> RadialNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RadialNetwork(4, hidden, paths.n_weights, CUTOFF, mode=mode, n_knots=16).double()


def energy(
    paths: TensorProductInstructions,
    features: list[Tensor],
    geometry: EdgeGeometry,
    radial: RadialNetwork,
    backend: Backend = "auto",
) -> Tensor:
    """A nonlinear scalar of a convolution's outputs."""
    outputs = convolve(paths, features, geometry, radial(geometry), backend)
    return torch.stack([torch.sin(output).sum() for output in outputs]).sum()
