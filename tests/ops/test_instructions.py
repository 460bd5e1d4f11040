"""Paths against e3nn's tensor product, and the layout of weights and channels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from e3nn import o3

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.op import convolve
from tests.ops.examples import LAYOUTS, paths_named, radial_for, random_features, random_graph


@pytest.fixture
def double_precision() -> Iterator[None]:
    """e3nn keeps its coefficients in torch's default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", LAYOUTS)
def test_convolution_is_e3nns_depthwise_tensor_product_summed_over_neighbours(
    name: str, double_precision: None
) -> None:
    paths, graph = paths_named(name), random_graph(5, 30)
    features = random_features(paths, 5)
    geometry = graph.geometry(radial_for(paths, "exact"), paths.lmax)
    weights = torch.randn(30, paths.n_weights, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    product = o3.TensorProduct(
        o3.Irreps([(c, (degree, p)) for degree, p, c in paths.input]),
        o3.Irreps.spherical_harmonics(paths.lmax),
        o3.Irreps([(paths.input[q.k_in][2], paths.output_layout[q.k_out][:2]) for q in paths.paths]),
        [(q.k_in, q.l2, n, "uvu", True) for n, q in enumerate(paths.paths)],
        shared_weights=False,
        internal_weights=False,
        path_normalization="none",
    ).to(torch.float64)
    flat = torch.cat([f.transpose(1, 2).reshape(5, -1) for f in features], 1)
    messages = product(flat[graph.sender], geometry.harmonics, weights)
    summed = torch.zeros(5, messages.shape[1], dtype=torch.float64).index_add(0, graph.receiver, messages)
    expected: list[list[torch.Tensor]] = [[] for _ in paths.output_layout]
    place = 0
    for path in paths.paths:
        channels, dim = paths.input[path.k_in][2], 2 * paths.output_layout[path.k_out][0] + 1
        block = summed[:, place : place + channels * dim].view(5, channels, dim).transpose(1, 2)
        expected[path.k_out].append(block)
        place += channels * dim
    found = convolve(paths, features, geometry, weights)
    for output, parts, (degree, _, channels) in zip(found, expected, paths.output_layout, strict=True):
        assert output.shape == (5, 2 * degree + 1, channels)
        torch.testing.assert_close(output, torch.cat(parts, 2), rtol=1e-12, atol=1e-12)


def test_outputs_that_no_path_reaches_are_left_out() -> None:
    paths = TensorProductInstructions(((0, 1, 4),), 1, [(2, 1), (0, 1), (1, 1), (1, -1)])
    assert paths.output_layout == ((0, 1, 4), (1, -1, 4))
    assert [tuple(path) for path in paths.paths] == [(0, 0, 0), (0, 1, 1)]
    assert paths.n_weights == 8


def test_default_shape_has_eleven_paths() -> None:
    irreps = [(0, 1), (1, -1), (2, 1)]
    assert len(TensorProductInstructions(tuple((*irrep, 32) for irrep in irreps), 2, irreps).paths) == 11


@pytest.mark.parametrize(
    ("layout", "lmax", "output", "message"),
    [
        (((0, 1, 4), (0, 1, 2)), 1, [(0, 1)], "given twice"),
        (((0, 2, 4),), 1, [(0, 1)], "p = 1 or -1"),
        (((0, 1, 0),), 1, [(0, 1)], "at least one channel"),
        (((0, 1, 4),), 1, [(0, -1)], "no path"),
    ],
)
def test_impossible_layouts_are_errors(layout, lmax, output, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        TensorProductInstructions(layout, lmax, output)


def test_wrong_shapes_are_errors_and_not_memory_faults() -> None:
    paths, graph = paths_named("scalars and an unused irrep, lmax 1"), random_graph(5, 30)
    radial = radial_for(paths)
    geometry = graph.geometry(radial, paths.lmax)
    with pytest.raises(ConfigError, match="expected a feature of shape"):
        convolve(paths, random_features(paths, 4), geometry, radial(geometry))
    with pytest.raises(ConfigError, match="float32"):
        convolve(paths, [f.float() for f in random_features(paths, 5)], geometry, radial(geometry))
    with pytest.raises(ConfigError, match="harmonics"):
        convolve(paths, random_features(paths, 5), graph.geometry(radial, 2), radial(geometry))
