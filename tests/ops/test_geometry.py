"""The geometry operator against e3nn and torch's autograd."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.radial.network import RadialNetwork
from tests.ops.examples import CUTOFF, KERNELS, device_of, random_graph


def radial() -> RadialNetwork:
    return RadialNetwork(4, [4], 1, CUTOFF, n_knots=16)


def geometry_of(vectors: torch.Tensor, lmax: int, backend: Backend) -> EdgeGeometry:
    graph = random_graph(4, len(vectors))
    graph.vectors = vectors
    device = device_of(backend)
    return graph.to(device).geometry(radial().to(device), lmax, backend)


ALL = [*KERNELS, "reference"]


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("lmax", [0, 2, 3])
def test_harmonics_are_e3nns(lmax: int, backend: Backend) -> None:
    vectors = random_graph(4, 40).vectors
    expected = o3.spherical_harmonics(list(range(lmax + 1)), vectors, normalize=True, normalization="component")
    found = geometry_of(vectors, lmax, backend)
    torch.testing.assert_close(found.harmonics.cpu(), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.distances.cpu(), vectors.norm(dim=1))


@pytest.mark.parametrize("backend", ALL)
def test_spline_weights_sum_to_the_envelope(backend: Backend) -> None:
    x = torch.linspace(0.05, 1.2, 60, dtype=torch.float64)
    vectors = torch.nn.functional.pad(CUTOFF * x[:, None], (1, 1))
    found = geometry_of(vectors, 0, backend)
    assert found.knot is not None
    assert found.spline is not None
    expected = torch.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, 0.0)
    torch.testing.assert_close(found.spline.sum(1).cpu(), expected, rtol=1e-12, atol=1e-12)
    assert found.knot.tolist() == [min(int(16 * float(value)), 15) for value in x]


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("lmax", [0, 2, 3])
def test_first_and_second_derivatives_equal_autograd_of_the_reference(lmax: int, backend: Backend) -> None:
    generator = torch.Generator().manual_seed(3)
    results = []
    vectors = random_graph(4, 37, seed=5).vectors
    a = torch.randn(37, (lmax + 1) ** 2, generator=generator, dtype=torch.float64)
    b, direction = (torch.randn(37, k, generator=generator, dtype=torch.float64) for k in (4, 3))
    for b_ in (backend, "reference"):
        v, ga, gb = (tensor.clone().requires_grad_() for tensor in (vectors, a, b))
        found = geometry_of(v, lmax, b_)
        assert found.spline is not None
        outputs = [(found.spline, gb), (found.harmonics, ga)][: 1 if lmax == 0 else 2]  # Y0 depends on nothing
        made, cotangents = zip(*outputs, strict=True)
        device = device_of(b_)
        (first,) = torch.autograd.grad(made, v, [g.to(device) for g in cotangents], create_graph=True)
        second = torch.autograd.grad(first, [v, *cotangents], direction)
        results.append([found.harmonics.cpu(), found.spline.cpu(), first, *second])
    for found, reference in zip(*results, strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-10, atol=1e-10 * float(reference.detach().abs().max()))


@pytest.mark.parametrize("backend", KERNELS)
def test_no_harmonics_gradient_along_the_edge(backend: Backend) -> None:
    vectors = random_graph(4, 10).vectors.requires_grad_()
    found = geometry_of(vectors, 2, backend)
    (gradient,) = torch.autograd.grad(found.harmonics.sum(), vectors)
    assert float((gradient * vectors).sum(1).detach().abs().max()) < 1e-12


@pytest.mark.parametrize("backend", ALL)
def test_nan_stays_nan(backend: Backend) -> None:
    vectors = torch.ones(3, 3, dtype=torch.float64)
    vectors[1, 2] = float("nan")
    found = geometry_of(vectors, 2, backend)
    assert found.spline is not None
    assert bool(found.spline[1].isnan().all())
    assert bool(found.harmonics[1, 1:].isnan().all())
    assert bool(found.spline[[0, 2]].isfinite().all())


@pytest.mark.parametrize("backend", ALL)
def test_no_edges(backend: Backend) -> None:
    found = geometry_of(torch.zeros(0, 3, dtype=torch.float64), 2, backend)
    assert found.harmonics.shape == (0, 9)
    assert found.distances.shape == (0,)


@pytest.mark.parametrize("backend", KERNELS)
def test_a_third_derivative_is_refused(backend: Backend) -> None:
    vectors = random_graph(4, 10).vectors.requires_grad_()
    found = geometry_of(vectors, 2, backend)
    (first,) = torch.autograd.grad(found.harmonics.sum(), vectors, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivative"):
        torch.autograd.grad(second.sum(), vectors)


@pytest.mark.parametrize("backend", KERNELS)
def test_what_kernels_are_not_for_is_an_error(backend: Backend) -> None:
    exact = RadialNetwork(4, [4], 1, CUTOFF, mode="exact")
    with pytest.raises(ConfigError, match="table mode"):
        random_graph(4, 10).geometry(exact, 2, backend)
    graph = random_graph(4, 10).to(device_of(backend))
    with pytest.raises(ConfigError, match="end at degree 4"):
        graph.geometry(radial(), 5, backend)
    graph.vectors = graph.vectors.to(torch.bfloat16)
    with pytest.raises(ConfigError, match="float32 and float64"):
        graph.geometry(radial(), 2, backend)


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(ConfigError, match="expected one of auto"):
        random_graph(4, 10).geometry(radial(), 2, "quick")  # type: ignore[arg-type]
