"""Radial networks: the table stands in for the exact network, and all is smooth at both ends."""

from __future__ import annotations

import pytest
import torch

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.radial.functions import DEFAULT_KNOTS, bessel, envelope
from mfbench.mfcore.ops.radial.network import RadialNetwork, radial_tables
from tests.ops.examples import (
    CUTOFF,
    Graph,
    energy,
    paths_named,
    radial_for,
    random_features,
    random_graph,
)


def weights_along(radial: RadialNetwork, r: torch.Tensor) -> torch.Tensor:
    """Weights (E, n_weights) at distances (E,), in the network's mode."""
    edges = torch.arange(len(r))
    vectors = torch.nn.functional.pad(r[:, None], (0, 2))
    graph = Graph(len(r), vectors, edges, edges, torch.arange(len(r) + 1))
    geometry: EdgeGeometry = graph.geometry(radial, 0)
    weights = radial(geometry)
    return weights if isinstance(weights, torch.Tensor) else weights.dense(geometry)


def table_error(n_knots: int, seed: int = 0) -> float:
    """Standard deviation of table less exact weights over that of the exact ones, between 0.8 Å and the cutoff."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        radial = RadialNetwork(8, [64, 64], 64, CUTOFF, n_knots=n_knots).double()
        r = torch.linspace(0.8, CUTOFF, 1500, dtype=torch.float64)
        table = weights_along(radial, r)
        radial.mode = "exact"
        exact = weights_along(radial, r)
    return float((table - exact).std() / exact.std())


def test_table_equals_the_network_at_the_knots() -> None:
    radial = radial_for(paths_named("scalars and an unused irrep, lmax 1"))
    r = CUTOFF * torch.arange(1, 16, dtype=torch.float64) / 16
    table = weights_along(radial, r)
    radial.mode = "exact"
    torch.testing.assert_close(table, weights_along(radial, r), rtol=1e-12, atol=1e-12)


def test_table_converges_with_the_fourth_power_of_the_knot_distance() -> None:
    coarse, fine = table_error(128), table_error(256)
    assert 12 < coarse / fine < 32


def test_default_table_is_within_a_ten_thousandth_of_a_fresh_network() -> None:
    assert max(table_error(DEFAULT_KNOTS, seed) for seed in range(3)) < 1e-4


@pytest.mark.parametrize("mode", ["table", "exact"])
def test_weights_and_two_derivatives_vanish_at_the_cutoff_and_beyond(mode) -> None:  # type: ignore[no-untyped-def]
    radial = radial_for(paths_named("scalars and an unused irrep, lmax 1"), mode)
    r = torch.tensor([CUTOFF - 1e-5, CUTOFF, CUTOFF + 1e-5, 3 * CUTOFF], dtype=torch.float64, requires_grad=True)
    inside = torch.tensor([CUTOFF - 0.5], dtype=torch.float64)
    size = float(weights_along(radial, inside).detach().abs().max())
    value = weights_along(radial, r).sum(1)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    assert value.detach().abs().max() < 1e-9 * size
    assert slope.detach().abs().max() < 1e-6 * size
    assert curvature.abs().max() < 1e-2 * size  # linear in the distance to the cutoff
    assert float(value[1:].detach().abs().sum() + slope[1:].detach().abs().sum() + curvature[1:].abs().sum()) == 0.0


def test_table_has_two_continuous_derivatives_across_a_knot() -> None:
    radial = radial_for(paths_named("scalars and an unused irrep, lmax 1"))
    knot, step = CUTOFF * 5 / 16, 1e-7
    r = torch.tensor([knot - step, knot + step], dtype=torch.float64, requires_grad=True)
    value = weights_along(radial, r)[:, 0]
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    for quantity in (value.detach(), slope.detach(), curvature):
        assert float((quantity[1] - quantity[0]).abs() / quantity.abs().max()) < 1e-4


def test_bessel_functions_are_finite_at_zero() -> None:
    x = torch.tensor([0.0, 1e-300, 1e-9, 0.25], dtype=torch.float64)
    values = bessel(x, 6)
    limit = torch.pi * torch.arange(1, 7, dtype=torch.float64) / 8**0.5
    torch.testing.assert_close(values[:3], limit.expand(3, -1), rtol=1e-12, atol=0)
    n = torch.arange(1, 7, dtype=torch.float64)
    torch.testing.assert_close(values[3], torch.sin(n * torch.pi * 0.25) / (8**0.5 * 0.25), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", [3, 6])
def test_envelope_falls_from_one_to_zero_and_keeps_nan(power: int) -> None:
    values = envelope(torch.linspace(0, 1.5, 200, dtype=torch.float64), power)
    assert float(values[0]) == 1.0
    assert bool((values.diff() <= 1e-15).all())
    assert float(values[-1]) == 0.0
    assert bool(envelope(torch.tensor([float("nan")]), power).isnan())


def test_fresh_weights_have_unit_mean_square_under_a_uniform_density() -> None:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        radial = RadialNetwork(8, [64, 64], 4096, CUTOFF, mode="exact").double()
        r = torch.linspace(0.01, CUTOFF, 300, dtype=torch.float64)
        square = weights_along(radial, r).square().mean(1)
    density = r.square()
    envelope_square = envelope(r / CUTOFF, 6).square()
    assert float((square * density).sum() / (envelope_square * density).sum()) == pytest.approx(1.0, rel=0.1)


def test_a_geometry_of_the_other_mode_is_an_error() -> None:
    paths, graph = paths_named("scalars and an unused irrep, lmax 1"), random_graph(3, 6)
    radial = radial_for(paths)
    geometry = graph.geometry(radial, paths.lmax)
    radial.mode = "exact"
    with pytest.raises(ConfigError, match="geometry was made for"):
        radial(geometry)


@pytest.mark.parametrize("values", [{"cutoff": 0.0}, {"n_bessel": 0}, {"n_knots": 3}, {"mode": "spline"}])
def test_impossible_settings_are_errors(values: dict[str, object]) -> None:
    arguments = {"n_bessel": 8, "hidden": [4], "n_weights": 4, "cutoff": 5.0} | values
    with pytest.raises(ConfigError):
        RadialNetwork(**arguments)  # type: ignore[arg-type]


def test_a_frozen_network_keeps_its_table_until_a_weight_changes() -> None:
    radial = radial_for(paths_named("natural parity, lmax 2")).eval().requires_grad_(False)
    table = radial.table().values
    assert radial.table().values is table
    with torch.no_grad():
        radial.weights[0] *= 2
    changed = radial.table().values
    assert not torch.equal(changed, table)
    radial.requires_grad_(True)
    assert radial.table().values.requires_grad
    torch.testing.assert_close(radial.table().values, changed)
    assert radial.float().requires_grad_(False).table().values.dtype == torch.float32


def test_a_table_made_in_inference_mode_can_be_differentiated_through_later() -> None:
    paths, graph = paths_named("natural parity, lmax 2"), random_graph(4, 12)
    radial = radial_for(paths).eval().requires_grad_(False)
    features = random_features(paths, 4)
    with torch.inference_mode():
        value = energy(paths, features, graph.geometry(radial, paths.lmax), radial)
    graph.vectors.requires_grad_()
    again = energy(paths, features, graph.geometry(radial, paths.lmax), radial)
    assert float(again.detach()) == float(value)
    (gradient,) = torch.autograd.grad(again, graph.vectors)
    assert float(gradient.abs().sum()) > 0


@pytest.mark.parametrize("hidden", [(), (3,), (4, 3)])
def test_tables_made_together_are_the_networks(hidden: tuple[int, ...]) -> None:
    """At the knots a spline has a sixth, four and one of its control points; gradients of a loss on both agree."""
    torch.manual_seed(1)
    networks = [RadialNetwork(3, hidden, width, 5.0, n_knots=6).double() for width in (2, 5, 1)]
    weights = [weight for network in networks for weight in network.weights]
    at_knots = [(t[:-2] + 4 * t[1:-1] + t[2:]) / 6 for t in (table.values for table in radial_tables(networks))]
    expected = []
    for network in networks:
        part = bessel(torch.arange(7, dtype=torch.float64) / 6, 3)
        for weight in network.weights[:-1]:
            part = torch.nn.functional.silu(part @ weight)
        expected.append(part @ network.weights[-1])
    found = []
    for values in (at_knots, expected):
        loss = torch.stack([value.pow(3).sum() for value in values]).sum()
        plain = torch.autograd.grad(loss, weights, retain_graph=True)
        first = torch.autograd.grad(loss, weights, create_graph=True)
        second = torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), weights)
        found.append([*values, *plain, *second])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_tables_of_other_settings_are_not_made_together() -> None:
    networks = [RadialNetwork(3, (4,), 2, 5.0, n_knots=knots) for knots in (6, 7)]
    with pytest.raises(ConfigError, match="same settings"):
        radial_tables(networks)


def test_second_derivatives_of_tables_of_which_a_part_is_frozen() -> None:
    torch.manual_seed(1)
    networks = [RadialNetwork(3, (4, 4), 5, CUTOFF, n_knots=6).double() for _ in range(2)]
    networks[0].weights[1].requires_grad_(False)
    networks[1].requires_grad_(False)
    weights = [networks[0].weights[0], networks[0].weights[2]]

    def tables(*_: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.tanh(0.1 * table.values) for table in radial_tables(networks)])

    assert torch.autograd.gradgradcheck(tables, weights)
