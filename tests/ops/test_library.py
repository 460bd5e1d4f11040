"""Registered operations are what torch.library asks for, and the autograd functions of eager code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution import library as convolution
from mfbench.mfcore.ops.edge_sums import library as edge_sums
from mfbench.mfcore.ops.geometry import library as geometry
from mfbench.mfcore.ops.node_update import library as node_update
from mfbench.mfcore.ops.node_update.protocol import UpdateIrrep, UpdateShape
from mfbench.mfcore.ops.readout import library as readout
from tests.ops.examples import CUTOFF, energy, paths_named, radial_for, random_features, random_graph, skip_without

pytestmark = skip_without("cpp")

N_ATOMS, N_EDGES = 6, 60
NAME = "both parities, unequal channels"


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


def calls() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Each operation with arguments; what it has derivatives for asks for them."""
    torch.manual_seed(0)
    graph, paths = random_graph(N_ATOMS, N_EDGES), paths_named(NAME)
    ends = graph.sender, graph.receiver, graph.row_pointer
    settings = paths.lmax, CUTOFF, 16, 6, "cpp"
    y, knot, c = geometry.geometry_op(graph.vectors, *settings)
    t, x = leaf(19, paths.n_weights), [feature.requires_grad_() for feature in random_features(paths, N_ATOMS)]
    g = [leaf(N_ATOMS, 2 * degree + 1, channels) for degree, _, channels in paths.output_layout]
    along = [torch.randn_like(tensor) for tensor in (y, c, *x)]
    instructions = *ends, paths.key, "cpp"
    sizes = [UpdateIrrep(1, 8, 16, 8, 8), UpdateIrrep(3, 8, 8, 8, 8)]
    shape = UpdateShape(tuple(sizes), ((0, 0), (1, 1)), ((1, 8, 16),), (), True)
    species = torch.tensor([0, 1, 1, 0, 1, 0])
    messages, inner = ([leaf(N_ATOMS, i.components, 8) for i in sizes] for _ in range(2))
    weights = [[leaf(8, n * i.sums) for i in sizes] for n in (1, 2)] + [[leaf(8, 8) for _ in sizes]]
    about = species, 2, 0.3, shape.key, "cpp"
    made = node_update.node_update_op(messages, inner, leaf(N_ATOMS, 1, 16), *weights, *about)
    plain = [[tensor.detach() for tensor in group] for group in (messages, inner, *weights)]
    back = [made[0].detach(), [torch.randn_like(tensor) for tensor in made]]
    hidden = leaf(N_ATOMS, 8), leaf(8, 4), leaf(1, 4)
    z = torch.randn(N_ATOMS, 4, dtype=torch.float64)
    gradient = *[tensor.detach() for tensor in hidden], z, torch.randn_like(z[:, 0]), torch.randn_like(z)
    fixed = [tensor.detach() for tensor in x], [tensor.detach() for tensor in g]
    return {
        "edge_vectors": (edge_sums.edge_vectors_op, (leaf(N_ATOMS, 3), *ends, leaf(N_EDGES, 3), "cpp")),
        "edge_sums": (edge_sums.edge_sums_op, (leaf(N_EDGES, 3), *ends, "cpp")),
        "edge_sums, plain torch": (edge_sums.edge_sums_op, (leaf(N_EDGES, 3), *ends, "reference")),
        "geometry": (geometry.geometry_op, (graph.vectors.requires_grad_(), *settings)),
        "geometry_backward": (
            geometry.geometry_backward_op,
            (graph.vectors.detach(), leaf(*y.shape), leaf(*c.shape), *settings),
        ),
        "geometry_tangent": (
            geometry.geometry_tangent_op,
            (graph.vectors.detach(), torch.randn_like(graph.vectors), *settings),
        ),
        "convolution": (
            convolution.convolution_op,
            (knot, y.clone().requires_grad_(), c.clone().requires_grad_(), t, x, *instructions),
        ),
        "convolution_backward": (
            convolution.convolution_backward_op,
            (knot, y, c, t, x, g, *instructions, True, False, True),
        ),
        "node_update": (node_update.node_update_op, (messages, inner, leaf(N_ATOMS, 1, 16), *weights, *about)),
        "node_update, nothing added": (node_update.node_update_op, (messages, inner, None, *weights, *about)),
        "node_update_backward": (node_update.node_update_backward_op, (*back, *plain, *about)),
        "readout": (readout.readout_op, (*hidden, leaf(N_ATOMS, 4), "cpp")),
        "readout, plain torch": (readout.readout_op, (*hidden, None, "reference")),
        "readout_backward": (readout.readout_backward_op, (*gradient, "cpp")),
        "convolution_double_backward": (
            convolution.convolution_double_backward_op,
            (knot, y, c, t.detach(), *fixed, along, *instructions),
        ),
    }


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch 2.15's check looks at it
@pytest.mark.parametrize("name", list(calls()) if not pytestmark.args[0] else [])
def test_an_operation_passes_torch_s_own_checks(name: str) -> None:
    operation, arguments = calls()[name]
    torch.library.opcheck(operation, arguments)


def test_a_force_training_step_by_operations_is_that_of_eager_code() -> None:
    graph, paths = random_graph(N_ATOMS, N_EDGES), paths_named(NAME)
    features, radial = random_features(paths, N_ATOMS), radial_for(paths)
    ends = graph.sender, graph.receiver, graph.row_pointer
    inputs = [*[feature.requires_grad_() for feature in features], *radial.parameters()]

    def by_operations(vectors: Tensor) -> Tensor:
        y, knot, c = geometry.geometry_op(vectors, paths.lmax, CUTOFF, 16, 6, "cpp")
        table = radial.table().values
        made = convolution.convolution_op(knot, y, c, table, features, *ends, paths.key, "cpp")
        return torch.stack([torch.sin(output).sum() for output in made]).sum()

    def eager(vectors: Tensor) -> Tensor:
        graph.vectors = vectors
        return energy(paths, features, graph.geometry(radial, paths.lmax, "cpp"), radial, "cpp")

    found = []
    for function in (by_operations, eager):
        vectors = graph.vectors.detach().clone().requires_grad_()
        (forces,) = torch.autograd.grad(function(vectors), vectors, create_graph=True)
        gradients = torch.autograd.grad(forces.pow(3).sum(), inputs)
        found.append([forces.detach(), *gradients])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_a_hessian_by_operations_is_refused() -> None:
    graph = random_graph(N_ATOMS, N_EDGES)
    vectors = graph.vectors.requires_grad_()
    harmonics, _, _ = geometry.geometry_op(vectors, 1, CUTOFF, 16, 6, "cpp")
    (first,) = torch.autograd.grad(harmonics.pow(2).sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="Hessian"):
        first.sum().backward()


def test_an_operation_without_kernels_says_what_to_do() -> None:
    graph = random_graph(N_ATOMS, N_EDGES)
    with pytest.raises(ConfigError, match=r"mfbench::geometry: expected kernels of backend 'reference'"):
        geometry.geometry_op(graph.vectors, 1, CUTOFF, 16, 6, "reference")


def test_instructions_come_back_from_their_key() -> None:
    paths = paths_named(NAME)
    again = type(paths).from_key(paths.key)
    assert again == paths
    assert hash(again) == hash(paths)
    assert again.weight_offsets == paths.weight_offsets
    assert paths_named("lmax 3") != paths
