"""The geometry operator against e3nn and torch's autograd."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3

from mfcore.errors import ConfigError
from mfcore.nn.convolution.backends import Backend
from mfcore.nn.convolution.geometry import EdgeGeometry
from mfcore.nn.convolution.radial import RadialNetwork
from tests.nn.convolution.examples import CUTOFF, random_graph


def radial() -> RadialNetwork:
    return RadialNetwork(4, [4], 1, CUTOFF, n_knots=16)


def geometry_of(vectors: torch.Tensor, lmax: int, backend: Backend) -> EdgeGeometry:
    graph = random_graph(4, len(vectors))
    graph.vectors = vectors
    return graph.geometry(radial(), lmax, backend)


@pytest.mark.parametrize("backend", ["fused", "reference"])
@pytest.mark.parametrize("lmax", [0, 2, 3])
def test_harmonics_are_e3nns(lmax: int, backend: Backend) -> None:
    vectors = random_graph(4, 40).vectors
    expected = o3.spherical_harmonics(list(range(lmax + 1)), vectors, normalize=True, normalization="component")
    found = geometry_of(vectors, lmax, backend)
    torch.testing.assert_close(found.harmonics, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.distances, vectors.norm(dim=1))


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_spline_weights_sum_to_the_envelope(backend: Backend) -> None:
    x = torch.linspace(0.05, 1.2, 60, dtype=torch.float64)
    vectors = torch.nn.functional.pad(CUTOFF * x[:, None], (1, 1))
    found = geometry_of(vectors, 0, backend)
    assert found.knot is not None
    assert found.spline is not None
    expected = torch.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, 0.0)
    torch.testing.assert_close(found.spline.sum(1), expected, rtol=1e-12, atol=1e-12)
    assert found.knot.tolist() == [min(int(16 * float(value)), 15) for value in x]


@pytest.mark.parametrize("lmax", [2, 3])
def test_first_and_second_derivatives_equal_autograd_of_the_reference(lmax: int) -> None:
    generator = torch.Generator().manual_seed(3)
    results = []
    vectors = random_graph(4, 37, seed=5).vectors
    a = torch.randn(37, (lmax + 1) ** 2, generator=generator, dtype=torch.float64)
    b, direction = (torch.randn(37, k, generator=generator, dtype=torch.float64) for k in (4, 3))
    for backend in ("fused", "reference"):
        v, ga, gb = (tensor.clone().requires_grad_() for tensor in (vectors, a, b))
        found = geometry_of(v, lmax, backend)  # type: ignore[arg-type]
        assert found.spline is not None
        (first,) = torch.autograd.grad([found.harmonics, found.spline], v, [ga, gb], create_graph=True)
        second = torch.autograd.grad(first, [v, ga, gb], direction)
        results.append([found.harmonics, found.spline, first, *second])
    for fused, reference in zip(*results, strict=True):
        torch.testing.assert_close(fused, reference, rtol=1e-10, atol=1e-10 * float(reference.detach().abs().max()))


def test_no_harmonics_gradient_along_the_edge() -> None:
    vectors = random_graph(4, 10).vectors.requires_grad_()
    found = geometry_of(vectors, 2, "fused")
    (gradient,) = torch.autograd.grad(found.harmonics.sum(), vectors)
    assert float((gradient * vectors).sum(1).detach().abs().max()) < 1e-12


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_nan_stays_nan(backend: Backend) -> None:
    vectors = torch.ones(3, 3, dtype=torch.float64)
    vectors[1, 2] = float("nan")
    found = geometry_of(vectors, 2, backend)
    assert found.spline is not None
    assert bool(found.spline[1].isnan().all())
    assert bool(found.harmonics[1, 1:].isnan().all())
    assert bool(found.spline[[0, 2]].isfinite().all())


def test_no_edges() -> None:
    found = geometry_of(torch.zeros(0, 3, dtype=torch.float64), 2, "fused")
    assert found.harmonics.shape == (0, 9)
    assert found.distances.shape == (0,)


def test_a_third_derivative_is_refused() -> None:
    vectors = random_graph(4, 10).vectors.requires_grad_()
    found = geometry_of(vectors, 2, "fused")
    (first,) = torch.autograd.grad(found.harmonics.sum(), vectors, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivative"):
        torch.autograd.grad(second.sum(), vectors)


def test_fused_needs_a_table_on_the_cpu() -> None:
    exact = RadialNetwork(4, [4], 1, CUTOFF, mode="exact")
    with pytest.raises(ConfigError, match="table mode"):
        random_graph(4, 10).geometry(exact, 2, "fused")
    graph = random_graph(4, 10)
    graph.vectors = graph.vectors.to(torch.bfloat16)
    with pytest.raises(ConfigError, match="float32 and float64"):
        graph.geometry(radial(), 2, "fused")
    with pytest.raises(ConfigError, match="expected one of auto"):
        random_graph(4, 10).geometry(exact, 2, "quick")  # type: ignore[arg-type]
