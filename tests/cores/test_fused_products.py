"""Kernels of other packages take the place of e3nn's product where they are right and faster, and it is said.

Module: mfbench.mfcore.cores.fused_products.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from e3nn import o3
from torch import Tensor, nn

from mfbench.mfcore.cores import fused_products
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.fused_products import PLAIN, Product, fuse, installed, report, used_by
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from tests.contracts.core_cases import argyrodite

SENDER, RECEIVER = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([1, 0, 1, 0, 2])
N_ATOMS = 3


def product() -> Any:
    paths = [(0, 0, 0, "uvu", True), (0, 1, 1, "uvu", True)]
    first, second, output = o3.Irreps("2x0e"), o3.Irreps("0e+1o"), o3.Irreps("2x0e+2x1o")
    return o3.TensorProduct(first, second, output, paths, shared_weights=False, internal_weights=False)


class TensorProductScatter(nn.Module):
    """As nequip's."""

    def __init__(self) -> None:
        super().__init__()
        self.tp = product()

    def forward(self, x: Tensor, edge_attr: Tensor, edge_weight: Tensor, edge_dst: Tensor, edge_src: Tensor) -> Tensor:
        return x.new_zeros(len(x), 8).index_add(0, edge_dst, self.tp(x[edge_src], edge_attr, edge_weight))


class Made:
    """Kernels that were made, and how often they were called."""

    def __init__(self) -> None:
        self.calls = 0
        self.factor, self.pause, self.error = 1.0, 0.0, ""

    def __call__(self, name: str, of: Product, dtype: torch.dtype) -> Callable[..., Tensor]:
        if self.error:
            raise RuntimeError(self.error)
        plain = product()

        def kernel(x: Tensor, y: Tensor, w: Tensor, to: Tensor, source: Tensor) -> Tensor:
            self.calls += 1
            time.sleep(self.pause)
            return self.factor * x.new_zeros(len(x), 8).index_add(0, to, plain(x[source], y, w))

        return kernel


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """A library that is installed, has kernels for the CPU, and beats e3nn by far."""
    found = Made()
    monkeypatch.setattr(fused_products, "DEVICES", ("cpu",))
    monkeypatch.setattr(fused_products, "find_spec", lambda name: name == "openequivariance" or None)
    monkeypatch.setattr(fused_products, "_kernel", found)
    monkeypatch.delenv(fused_products.VARIABLE, raising=False)
    monkeypatch.setattr(Product, "verdicts", {})
    clock = fused_products._timed
    seconds = iter([1.0, 0.5, 1.0, 0.5])

    def timed(call: Any, inputs: Any) -> tuple[list[Tensor], float]:
        values, _ = clock(call, inputs)
        return values, next(seconds) + found.pause * 100

    monkeypatch.setattr(fused_products, "_timed", timed)
    return found


def values() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(N_ATOMS, 2), torch.randn(5, 4), torch.randn(5, 4)


def answer(network: nn.Module) -> Tensor:
    return network(*values(), RECEIVER, SENDER)


def test_a_faster_one_that_is_right_is_used_and_named(made: Made) -> None:
    network = TensorProductScatter()
    expected = answer(network)
    before = list(network.state_dict())
    fuse(network)
    assert list(network.state_dict()) == before  # a stored network is read anywhere
    assert torch.allclose(answer(network), expected, atol=1e-6)
    assert used_by(network) == "openequivariance (faster than e3nn)"
    calls = made.calls
    assert torch.allclose(answer(copy.deepcopy(network)), expected, atol=1e-6)
    assert made.calls == calls + 1  # it was found out once


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"factor": 1.01}, "e3nn (openequivariance is not e3nn's product)"),
        ({"error": "no compiler"}, "e3nn (openequivariance failed: RuntimeError: no compiler)"),
    ],
)
def test_one_that_is_wrong_or_fails_is_not(made: Made, fault: dict[str, Any], words: str) -> None:
    vars(made).update(fault)
    network = TensorProductScatter()
    expected = answer(network)
    fuse(network)
    assert torch.equal(answer(network), expected)
    assert used_by(network) == words


def test_a_slower_one_is_not(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.5, 1.0])
    clock = fused_products._timed
    monkeypatch.setattr(fused_products, "_timed", lambda *given: (clock(*given)[0], next(seconds)))
    network = TensorProductScatter()
    fuse(network)
    answer(network)
    assert used_by(network) == "e3nn (openequivariance is slower)"


def test_nothing_changes_where_none_is_installed_or_there_is_no_edge(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TensorProductScatter()
    fuse(network)
    none = torch.zeros(0, dtype=torch.long)
    assert not network(torch.randn(N_ATOMS, 2), torch.zeros(0, 4), torch.zeros(0, 4), none, none).any()
    monkeypatch.setattr(fused_products, "find_spec", lambda name: None)
    answer(network)
    assert made.calls == 0
    assert used_by(network) == "e3nn (of openequivariance, cuequivariance, flashtp none is installed)"
    assert report() == "e3nn; of openequivariance, cuequivariance, flashtp none is installed"
    assert used_by(nn.Linear(2, 2)) == ""


def test_on_other_devices_than_theirs_e3nn_computes(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_products, "DEVICES", ("cuda",))
    network = TensorProductScatter()
    fuse(network)
    answer(network)
    assert made.calls == 0
    assert used_by(network).startswith("e3nn (of openequivariance, cuequivariance, flashtp only on cuda")


@pytest.mark.parametrize("core", ["sevennet", "mace", "nequip"])
def test_the_networks_of_peers_use_it(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By kernels that are e3nn's product with the sum: energies, forces and a gradient of both are what they were."""
    found = core_class(core)
    if find_spec(found.package) is None:
        pytest.skip(f"{found.package} is not installed")
    calls = []

    def kernel(name: str, of: Product, dtype: torch.dtype) -> Callable[..., Tensor]:
        irreps = map(o3.Irreps, (of.first, of.second, of.output))
        plain = o3.TensorProduct(*irreps, list(of.paths), shared_weights=False, internal_weights=False)

        def computed(x: Tensor, y: Tensor, w: Tensor, to: Tensor, source: Tensor) -> Tensor:
            calls.append(name)
            return x.new_zeros(len(x), plain.irreps_out.dim).index_add(0, to, plain(x[source], y, w))

        return computed

    def answers() -> list[Tensor]:
        output = network(batch, create_graph=True)
        loss = output.energy.square().sum() + output.forces.square().sum()
        weights = [p for p in network.parameters() if p.requires_grad]
        return [output.energy, output.forces, *torch.autograd.grad(loss, weights, allow_unused=True)]

    torch.manual_seed(1)
    choice = CoreChoice.model_validate({"name": core, "cutoff": 4.0, "channels": 4, "n_layers": 2, "lmax": 1})
    network = choice.build((3, 15, 16, 17), ("pbe",), "none", 15.0)
    store = GraphStore([argyrodite()], ["pbe"], ("pbe",), None, network.species, network.cutoff)
    batch = store.batch([0]).to("cpu", torch.float32)
    expected = answers()
    assert network.kernels.startswith("e3nn (of ")
    monkeypatch.setattr(fused_products, "DEVICES", ("cpu",))
    monkeypatch.setattr(fused_products, "installed", lambda: ("openequivariance",))
    monkeypatch.setattr(fused_products, "_kernel", kernel)
    clock, seconds = fused_products._timed, iter([1.0, 0.5] * 10)
    monkeypatch.setattr(fused_products, "_timed", lambda *given: (clock(*given)[0], next(seconds)))
    monkeypatch.setattr(Product, "verdicts", {})
    for value, wanted in zip(answers(), expected, strict=True):
        assert (value is None) == (wanted is None)
        assert value is None or torch.allclose(value, wanted, atol=1e-5, rtol=1e-4)
    assert calls
    assert network.kernels == "openequivariance (faster than e3nn)"


def test_the_environment_chooses(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed() == ("openequivariance",)
    monkeypatch.setenv(fused_products.VARIABLE, PLAIN)
    assert installed() == ()
    for asked, words in (("flashtp", "not installed"), ("cublas", "unknown")):
        monkeypatch.setenv(fused_products.VARIABLE, asked)
        with pytest.raises(ConfigError, match=f"MFBENCH_PEER_KERNELS={asked}: it is {words}"):
            installed()
