"""All kernels compute what the reference does, in values and in all first and second derivatives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mfbench.mfcore.backends.cpp.convolution import CppConvolution
from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import provider
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution import autograd as by_kernels
from mfbench.mfcore.ops.convolution.op import convolve
from tests.ops.examples import (
    KERNELS,
    NAMES,
    device_of,
    energy,
    paths_named,
    radial_for,
    random_features,
    random_graph,
    skip_without,
)

# one set of paths that is compiled for every backend
NAME = "both parities, unequal channels"


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def force_training_step(
    name: str,
    n_atoms: int,
    n_edges: int,
    seed: int,
    backend: Backend,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """Outputs, forces, and all gradients of a loss on energy and forces: of features, parameters and vectors."""
    device = device_of(backend)
    paths, graph = paths_named(name), random_graph(n_atoms, n_edges, seed, dtype).to(device)
    radial = radial_for(paths, seed=seed).to(device, dtype)
    features = [f.to(device, dtype).requires_grad_() for f in random_features(paths, n_atoms, seed)]
    vectors = graph.vectors.requires_grad_()
    geometry = graph.geometry(radial, paths.lmax, backend)
    table = radial(geometry)
    outputs = convolve(paths, features, geometry, table, backend)
    value = torch.stack([torch.sin(output).sum() for output in outputs]).sum()
    (forces,) = torch.autograd.grad(value, vectors, create_graph=True)
    loss = forces.square().sum() + value.square()
    used = [f for f, (k, _) in zip(features, enumerate(paths.input), strict=True) if paths.paths_from(k)]
    inputs = [*used, *radial.parameters(), table.values, geometry.harmonics, geometry.spline, vectors]
    return [tensor.cpu() for tensor in [*outputs, forces, *torch.autograd.grad(loss, inputs)]]


def assert_equal(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        size = float(b.detach().abs().max()) if b.numel() else 0.0
        # just inside the cutoff the envelope is a small difference of numbers of order one, and so are all results
        torch.testing.assert_close(a.cpu(), b.cpu(), rtol=0, atol=tolerance * size + 1e-13)


@pytest.mark.parametrize("backend", KERNELS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_kernels_equal_the_reference(backend: Backend, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES[backend]))
    n_atoms, n_edges = data.draw(st.integers(1, 12)), data.draw(st.sampled_from([0, 1, 5, 40, 300, 1100]))
    seed = data.draw(st.integers(0, 1000))
    torch.set_num_threads(data.draw(st.sampled_from([1, 2])))
    found, expected = (force_training_step(name, n_atoms, n_edges, seed, b) for b in (backend, "reference"))
    assert_equal(found, expected, 1e-10)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", KERNELS)
def test_a_parameter_pass_gives_the_same_gradients_and_leaves_the_geometry_alone(
    backend: Backend, threads: int
) -> None:
    torch.set_num_threads(threads)
    paths, device, results = paths_named(NAME), device_of(backend), []
    for b in (backend, "reference"):
        graph, radial = random_graph(9, 1100).to(device), radial_for(paths).to(device)
        features = [f.to(device).requires_grad_() for f in random_features(paths, 9)]
        graph.vectors.requires_grad_()
        value = energy(paths, features, graph.geometry(radial, paths.lmax, b), radial, b)
        (forces,) = torch.autograd.grad(value, graph.vectors, create_graph=True)
        (forces.square().sum() + value).backward(inputs=[*features, *radial.parameters()])
        assert graph.vectors.grad is None
        results.append([leaf.grad for leaf in [*features, *radial.parameters()]])
    assert_equal(*results, 1e-10)


@skip_without("cpp")
def test_a_pass_runs_only_the_kernels_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = CppConvolution._run

    def spy(self: CppConvolution, name: str, *arguments) -> None:  # type: ignore[no-untyped-def]
        calls.append(name)
        original(self, name, *arguments)

    monkeypatch.setattr(CppConvolution, "_run", spy)
    monkeypatch.setattr(by_kernels, "_second_derivatives", lambda *_: pytest.fail("a Hessian was computed"))
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(9, 60)
    radial = radial_for(paths)
    features = [f.requires_grad_() for f in random_features(paths, 9)]
    graph.vectors.requires_grad_()
    value = energy(paths, features, graph.geometry(radial, paths.lmax, "cpp"), radial, "cpp")
    (forces,) = torch.autograd.grad(value, graph.vectors, create_graph=True)
    assert calls == ["forward", "backward_geometry"]
    (forces.square().sum() + value).backward(inputs=[*features, *radial.parameters()])
    assert sorted(calls[2:]) == ["backward_parameters", "double_backward"]


@pytest.mark.parametrize("backend", KERNELS)
def test_frozen_parts_get_no_gradient_and_the_rest_is_right(backend: Backend) -> None:
    paths, device, results = paths_named(NAME), device_of(backend), []
    for b in (backend, "reference"):
        graph, radial = random_graph(9, 60).to(device), radial_for(paths).to(device).requires_grad_(False)
        features = [f.to(device) for f in random_features(paths, 9)]
        features[2].requires_grad_()
        value = energy(paths, features, graph.geometry(radial, paths.lmax, b), radial, b)
        results.append(list(torch.autograd.grad(value, [features[2]])))
    assert_equal(*results, 1e-10)


@pytest.mark.parametrize("backend", KERNELS)
def test_force_pass_alone_equals_the_reference(backend: Backend) -> None:
    paths, device, results = paths_named(NAME), device_of(backend), []
    for b in (backend, "reference"):
        graph, radial = random_graph(9, 60).to(device), radial_for(paths).to(device).requires_grad_(False)
        graph.vectors.requires_grad_()
        features = [f.to(device) for f in random_features(paths, 9)]
        value = energy(paths, features, graph.geometry(radial, paths.lmax, b), radial, b)
        results.append(list(torch.autograd.grad(value, [graph.vectors])))
    assert_equal(*results, 1e-10)


@skip_without("cpp")
def test_second_derivatives_equal_finite_differences() -> None:
    paths, graph = paths_named("scalars and an unused irrep, lmax 1"), random_graph(3, 4, seed=2)
    radial = radial_for(paths, hidden=(2,))
    unused = random_features(paths, 3)[1]

    def function(vectors: Tensor, feature: Tensor, *_: Tensor) -> Tensor:
        graph.vectors = vectors
        return energy(paths, [feature, unused], graph.geometry(radial, paths.lmax, "cpp"), radial, "cpp")

    inputs = (graph.vectors.requires_grad_(), random_features(paths, 3)[0].requires_grad_(), *radial.parameters())
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", KERNELS)
def test_results_repeat_bit_for_bit(backend: Backend, threads: int) -> None:
    torch.set_num_threads(threads)
    first, second = (force_training_step(NAME, 12, 1100, 0, backend) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@skip_without("cpp")
def test_single_precision() -> None:
    found = force_training_step("natural parity, lmax 2", 6, 60, 0, "cpp", torch.float32)
    expected = force_training_step("natural parity, lmax 2", 6, 60, 0, "reference")
    assert all(tensor.dtype == torch.float32 for tensor in found)
    assert_equal([tensor.double() for tensor in found], expected, 1e-4)


@pytest.mark.parametrize("backend", KERNELS)
def test_nan_reaches_the_receiver_and_no_other_atom(backend: Backend) -> None:
    device = device_of(backend)
    paths, graph = paths_named(NAME), random_graph(6, 40)
    radial = radial_for(paths).to(device)
    graph.vectors[7] = float("nan")
    geometry = graph.to(device).geometry(radial, paths.lmax, backend)
    features = [f.to(device) for f in random_features(paths, 6)]
    for output in convolve(paths, features, geometry, radial(geometry), backend):
        bad = torch.zeros(6, dtype=torch.bool)
        bad[graph.receiver[7]] = True
        assert torch.equal(output.isnan().any(2).any(1).cpu(), bad)


@pytest.mark.parametrize("backend", KERNELS)
def test_subnormal_numbers_survive_loading_the_kernels(backend: Backend) -> None:
    assert force_training_step(NAME, 2, 3, 0, backend)
    assert float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) > 0.0


@pytest.mark.parametrize("backend", KERNELS)
def test_a_third_derivative_is_refused(backend: Backend) -> None:
    device = device_of(backend)
    paths, graph = paths_named(NAME), random_graph(4, 12).to(device)
    radial = radial_for(paths).to(device)
    features = [f.to(device).requires_grad_() for f in random_features(paths, 4)]
    geometry = graph.geometry(radial, paths.lmax, backend)
    outputs = convolve(paths, features, geometry, radial(geometry), backend)
    value = torch.stack([output.pow(3).sum() for output in outputs]).sum()
    (first,) = torch.autograd.grad(value, features[0], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), features[0], create_graph=True)
    with pytest.raises(RuntimeError, match="third derivative"):
        torch.autograd.grad(second.sum(), features[0])


@pytest.mark.parametrize("backend", KERNELS)
def test_non_contiguous_features_and_cotangents(backend: Backend) -> None:
    device = device_of(backend)
    paths, graph = paths_named(NAME), random_graph(5, 30).to(device)
    radial = radial_for(paths).to(device)
    geometry = graph.geometry(radial, paths.lmax, backend)
    features = [f.to(device) for f in random_features(paths, 5)]
    strided = [f.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for f in features]
    results = []
    for inputs, b in ((strided, backend), ([f.requires_grad_() for f in features], "reference")):
        outputs = convolve(paths, inputs, geometry, radial(geometry), b)
        shapes = [(c, 2 * d + 1, 5) for d, _, c in paths.output_layout]
        cotangents = [torch.ones(shape, dtype=torch.float64, device=device).permute(2, 1, 0) for shape in shapes]
        results.append([*outputs, *torch.autograd.grad(outputs, inputs, cotangents)])
    assert_equal(*results, 1e-10)


@pytest.mark.parametrize("backend", list(NAMES))
def test_dense_weights_are_not_for_kernels(backend: Backend) -> None:
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(5, 30)
    geometry = graph.geometry(radial_for(paths), paths.lmax)
    weights = torch.ones(30, paths.n_weights, dtype=torch.float64)
    with pytest.raises(ConfigError, match="table mode"):
        convolve(paths, random_features(paths, 5), geometry, weights, backend)


@pytest.mark.parametrize("backend", list(NAMES))
def test_kernels_of_another_device_are_refused(backend: Backend) -> None:
    paths = paths_named("natural parity, lmax 2")
    graph = random_graph(5, 30)
    graph.vectors = graph.vectors.to("meta")
    with pytest.raises(ConfigError, match=f"runs on {provider(backend).device}, but the tensors are on meta"):
        graph.geometry(radial_for(paths), paths.lmax, backend)
