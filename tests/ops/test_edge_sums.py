"""Vectors of edges and forces on atoms, by kernels and in plain torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.edge_sums.op import atom_forces, edge_vectors
from mfbench.mfcore.ops.edges import Edges
from tests.ops.examples import skip_without

BACKENDS = ["reference", pytest.param("cpp", marks=skip_without("cpp"))]


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def random_edges(n_atoms: int, n_edges: int) -> Edges:
    generator = torch.Generator().manual_seed(n_edges)
    receiver = torch.randint(0, n_atoms, (n_edges,), generator=generator).sort().values
    pointer = torch.searchsorted(receiver, torch.arange(n_atoms + 1))
    return Edges(n_atoms, torch.randint(0, n_atoms, (n_edges,), generator=generator), receiver, pointer)


@pytest.mark.parametrize("backend", BACKENDS)
def test_three_atoms(backend: str) -> None:
    """Edges 1 → 0, 2 → 0 and 0 → 1; atom 2 receives nothing."""
    edges = Edges(3, torch.tensor([1, 2, 0]), torch.tensor([0, 0, 1]), torch.tensor([0, 2, 3, 3]))
    places = torch.tensor([[0.0, 0, 0], [1, 2, 3], [10, 20, 30]])
    shift = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 0, 7]])
    vectors = edge_vectors(places, edges, shift, backend)
    assert vectors.tolist() == [[1, 2, 3], [15, 20, 30], [-1, -2, 4]]
    forces = atom_forces(torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 4]]), edges, backend)
    assert forces.tolist() == [[1, 2, -4], [-1, 0, 4], [0, -2, 0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives(backend: str) -> None:
    edges = random_edges(4, 9)
    gradient = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)

    def forces(g: Tensor) -> Tensor:
        return atom_forces(g, edges, backend)

    assert torch.autograd.gradcheck(forces, gradient)
    assert torch.autograd.gradgradcheck(forces, gradient)


def test_edges_of_other_integers_are_refused() -> None:
    """Kernels take addresses: int32 read as int64 would be other atoms."""
    edges = random_edges(4, 9)
    with pytest.raises(ConfigError, match=r"sender of int64, got .*int32"):
        replace(edges, sender=edges.sender.int())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["sender", "receiver", "row_pointer"])
def test_edges_with_gaps_in_memory(backend: str, name: str) -> None:
    edges = random_edges(4, 9)
    spread = torch.stack([getattr(edges, name)] * 2, 1)[:, 0]
    assert not spread.is_contiguous()
    places, shift = torch.randn(4, 3), torch.randn(9, 3)
    found = [edge_vectors(places, e, shift, backend) for e in (edges, replace(edges, **{name: spread}))]
    assert torch.equal(*found)
    forces = [atom_forces(shift, e, backend) for e in (edges, replace(edges, **{name: spread}))]
    assert torch.equal(*forces)


@skip_without("cpp")
@pytest.mark.parametrize("n_edges", [0, 10, 30000])
def test_kernels_equal_the_reference_for_any_number_of_threads(n_edges: int) -> None:
    edges = random_edges(301, n_edges)
    places, shift = torch.randn(301, 3, dtype=torch.float64), torch.randn(n_edges, 3, dtype=torch.float64)
    found = []
    for backend, threads in (("reference", 1), ("cpp", 1), ("cpp", 2)):
        torch.set_num_threads(threads)
        vectors = edge_vectors(places, edges, shift, backend)
        found.append((vectors, atom_forces(vectors, edges, backend)))
    torch.testing.assert_close(found[1][0], found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=1e-11)
    assert torch.equal(found[1][0], found[2][0])
    assert torch.equal(found[1][1], found[2][1])
