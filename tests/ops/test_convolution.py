"""The reference convolution: symmetry, and derivatives against finite differences."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.ops.convolution.instructions import Layout
from mfbench.mfcore.ops.convolution.op import convolve
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.op import edge_geometry
from mfbench.mfcore.ops.radial.functions import RadialMode
from tests.ops.examples import (
    LAYOUTS,
    energy,
    paths_named,
    radial_for,
    random_features,
    random_graph,
    skip_without,
)


def rotated(features: list[Tensor], layout: Layout, matrix: Tensor) -> list[Tensor]:
    """Features in a frame that an orthogonal (3, 3) matrix takes to the old one, by e3nn's Wigner matrices."""
    turned = []
    for feature, (degree, parity, _) in zip(features, layout, strict=True):
        wigner = o3.Irrep(degree, parity).D_from_matrix(matrix.float()).double()
        # e3nn makes them from angles in float32; the nearest orthogonal matrix is exact enough
        u, _, v = torch.linalg.svd(wigner)
        turned.append(torch.einsum("ab,nbc->nac", u @ v, feature))
    return turned


@pytest.mark.parametrize("inversion", [False, True])
@pytest.mark.parametrize("mode", ["exact", "table"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_convolution_is_equivariant_under_rotation_and_inversion(name: str, mode: RadialMode, inversion: bool) -> None:
    paths, graph = paths_named(name), random_graph(6, 60)
    radial, features = radial_for(paths, mode), random_features(paths, 6)
    angles = (torch.tensor(0.3), torch.tensor(1.2), torch.tensor(-2.0))
    matrix = o3.angles_to_matrix(*(angle.double() for angle in angles)) * (-1.0 if inversion else 1.0)

    def outputs(inputs: list[Tensor]) -> list[Tensor]:
        geometry = graph.geometry(radial, paths.lmax, "reference")
        return [t.detach() for t in convolve(paths, inputs, geometry, radial(geometry), "reference")]

    before = outputs(features)
    graph.vectors = graph.vectors @ matrix.T
    after = outputs(rotated(features, paths.input, matrix))
    for found, expected in zip(after, rotated(before, paths.output_layout, matrix), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("backend", ["reference", pytest.param("cpp", marks=skip_without("cpp"))])
def test_the_order_of_atoms_and_edges_does_not_matter(backend: Backend) -> None:
    paths, graph = paths_named("both parities, unequal channels"), random_graph(6, 60)
    radial, features = radial_for(paths), random_features(paths, 6)
    geometry = graph.geometry(radial, paths.lmax, backend)
    before = convolve(paths, features, geometry, radial(geometry), backend)
    new = torch.tensor([3, 0, 5, 1, 4, 2])  # of each old atom
    receiver, order = new[graph.receiver].flip(0).sort(stable=True)
    order = torch.arange(59, -1, -1)[order]
    counts = torch.bincount(receiver, minlength=6).cumsum(0)
    geometry = edge_geometry(
        graph.vectors[order],
        Edges(6, new[graph.sender][order], receiver, torch.nn.functional.pad(counts, (1, 0))),
        paths.lmax,
        radial.settings,
        backend,
    )
    inverse = new.argsort()
    after = convolve(paths, [f[inverse] for f in features], geometry, radial(geometry), backend)
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a, b[inverse], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["exact", "table"])
def test_derivatives_equal_finite_differences(mode: RadialMode) -> None:
    paths, graph = paths_named("scalars and an unused irrep, lmax 1"), random_graph(3, 4, seed=2)
    radial = radial_for(paths, mode, hidden=(2,))
    inputs = [graph.vectors.requires_grad_(), *(f.requires_grad_() for f in random_features(paths, 3)[:1])]
    unused = random_features(paths, 3)[1]

    def function(vectors: Tensor, feature: Tensor, *_: Tensor) -> Tensor:
        graph.vectors = vectors
        geometry = graph.geometry(radial, paths.lmax, "reference")
        return energy(paths, [feature, unused], geometry, radial, "reference")

    assert torch.autograd.gradcheck(function, (*inputs, *radial.parameters()))
    if mode == "exact":
        assert torch.autograd.gradgradcheck(function, (*inputs, *radial.parameters()))


def test_exact_mode_has_a_third_derivative() -> None:
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(4, 12)
    radial, features = radial_for(paths, "exact"), random_features(paths, 4)
    direction = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def second(shift: Tensor) -> Tensor:
        vectors = (start + shift * direction).requires_grad_()
        graph.vectors = vectors
        value = energy(paths, features, graph.geometry(radial, paths.lmax), radial)
        (slope,) = torch.autograd.grad(value, vectors, create_graph=True)
        (curvature,) = torch.autograd.grad((slope * direction).sum(), vectors, create_graph=True)
        return (curvature * direction).sum()

    start = graph.vectors
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (third,) = torch.autograd.grad(second(shift), shift)
    step = torch.tensor(1e-5, dtype=torch.float64)
    difference = (second(step).detach() - second(-step).detach()) / (2 * step)
    assert float(third) == pytest.approx(float(difference), rel=1e-5)


@pytest.mark.parametrize("backend", ["reference", pytest.param("cpp", marks=skip_without("cpp"))])
def test_atoms_without_edges_get_zeros(backend: Backend) -> None:
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(3, 0)
    radial = radial_for(paths)
    geometry = graph.geometry(radial, paths.lmax, backend)
    features = [f.requires_grad_() for f in random_features(paths, 3)]
    outputs = convolve(paths, features, geometry, radial(geometry), backend)
    assert [float(output.detach().abs().sum()) for output in outputs] == [0.0, 0.0, 0.0]
    grads = torch.autograd.grad(sum(o.sum() for o in outputs), [*features, *radial.parameters()])
    assert all(float(grad.abs().sum()) == 0.0 for grad in grads)
