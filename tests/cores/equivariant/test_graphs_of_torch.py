"""A forward pass is one graph of torch.compile, a frozen core one of torch.export, and both are what eager code is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.cores.equivariant.inference.core import FrozenCore
from mfbench.mfcore.cores.equivariant.inference.export import FrozenModule, export, inputs_of
from mfbench.mfcore.errors import ConfigError
from tests.cores.equivariant.examples import frames, graph, make_core
from tests.ops.examples import skip_without

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def largest_difference(found: tuple[Tensor | None, ...], expected: tuple[Tensor | None, ...]) -> float:
    """Of numbers; NaN (the stress of a molecule) has to be in the same places."""
    largest = 0.0
    for a, b in zip(found, expected, strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a.isnan(), b.isnan())
        largest = max(largest, float((a - b).abs().nan_to_num().max()))
    return largest


def parts(output: CoreOutput) -> tuple[Tensor | None, ...]:
    return output.energy, output.forces, output.stress


def compiled(core: Any, backend: str = "aot_eager") -> Any:
    torch._dynamo.reset()
    return torch.compile(core.forward, fullgraph=True, backend=backend)


@pytest.fixture
def autograd_in_graphs() -> Iterator[None]:
    """Forces are derivatives: torch.compile takes torch.autograd.grad into a graph where it is told to."""
    import torch._dynamo

    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        pytest.skip("this torch.compile has no torch.autograd.grad in a graph")
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        yield


VARIANTS: list[Any] = [
    pytest.param({}, marks=skip_without("cpp")),
    {"backend": "reference", "n_layers": 2},
    {"radial_mode": "exact", "n_layers": 2},
]


@pytest.mark.usefixtures("autograd_in_graphs")
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_forward_pass_is_one_graph(variant: dict[str, Any]) -> None:
    core, batch = make_core(**variant), graph(frames())
    expected = parts(core(batch, True, True))
    assert largest_difference(parts(compiled(core)(batch, True, True)), expected) < 1e-12


@pytest.mark.usefixtures("autograd_in_graphs")
@pytest.mark.parametrize("conditioning", ["none", "heads"])
def test_a_forward_pass_of_every_conditioning_is_one_graph(conditioning: Any) -> None:
    core, batch = make_core(conditioning, n_layers=2), graph(frames())
    expected = parts(core(batch, True, True))
    assert largest_difference(parts(compiled(core)(batch, True, True)), expected) < 1e-12


@skip_without("cpp")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch's own compiler
@pytest.mark.usefixtures("autograd_in_graphs")
def test_the_default_compiler_makes_it_too() -> None:
    core, batch = make_core(n_layers=1, lmax=1, channels=4), graph(frames())
    expected = parts(core(batch, True, True))
    assert largest_difference(parts(compiled(core, "inductor")(batch, True, True)), expected) < 1e-10


def test_energies_alone_can_be_trained_in_one_graph() -> None:
    core, batch = make_core(n_layers=2), graph(frames())
    gradients = []
    for call in (compiled(core), core):
        core.zero_grad()
        call(batch, False).energy.square().sum().backward()
        gradients.append([p.grad.clone() for p in core.parameters() if p.grad is not None])
    scale = max(float(g.abs().max()) for g in gradients[1])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * scale)


@skip_without("cpp")
@pytest.mark.skipif(TORCH < (2, 9), reason="this torch cannot store graphs of torch.export")
@pytest.mark.parametrize("zbl", [False, True])
def test_an_exported_core_is_the_frozen_core_also_when_it_is_read_again(zbl: bool, tmp_path: Path) -> None:
    frozen, batch = FrozenCore(make_core(zbl=zbl), "high"), graph(frames())
    program = export(frozen, batch)
    torch.export.save(program, tmp_path / "core.pt2")
    again = torch.export.load(tmp_path / "core.pt2")
    other = graph([frames()[k] for k in (3, 1, 0, 0, 2)])  # other numbers of atoms, edges and frames
    for given in (batch, other):
        expected = parts(frozen(given, True, True))
        for made in (program, again):
            assert largest_difference(made.module()(*inputs_of(given)), expected) < (1e-10 if zbl else 1e-12)


@skip_without("cpp")
def test_a_frozen_core_is_one_graph_of_torch_compile() -> None:
    frozen, batch = FrozenCore(make_core(n_layers=2), "high"), graph(frames())
    expected = parts(frozen(batch, True, True))
    torch._dynamo.reset()
    call = torch.compile(FrozenModule(frozen), fullgraph=True, backend="aot_eager")
    assert largest_difference(call(*inputs_of(batch)), expected) < 1e-10


def test_a_core_without_kernels_cannot_be_exported_and_says_why() -> None:
    frozen = FrozenCore(make_core(backend="reference", n_layers=2), "high")
    with pytest.raises(ConfigError, match="backend 'reference' has no kernels"):
        export(frozen, graph(frames()))


@skip_without("cpp")
def test_a_traced_pass_leaves_nothing_in_the_frozen_core() -> None:
    """Tensors that depend on the species are kept between passes, but not those of a graph, which hold no numbers."""
    frozen, batch = FrozenCore(make_core(n_layers=2, zbl=False), "high"), graph(frames())
    export(frozen, batch)
    assert frozen._plans is None
    assert largest_difference((frozen(batch).forces,), (frozen(batch).forces,)) == 0.0
