"""The node update by kernels is the reference in values and in all first and second derivatives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.layers import Interaction
from mfbench.mfcore.ops.convolution.instructions import Layout
from mfbench.mfcore.ops.node_update.op import update
from mfbench.mfcore.ops.node_update.protocol import Matrices, UpdateCall
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups
from tests.ops.examples import skip_without

pytestmark = skip_without("cpp")

N_SPECIES = 3


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def layer_of(channels: tuple[int, ...], parity: bool, first: bool, last: bool, linear: bool) -> Interaction:
    """A layer in float64 whose incoming features are those of such a network."""
    torch.manual_seed(7)
    config = EquivariantConfig(
        lmax=len(channels) - 1,
        channels=channels,
        parity=parity,
        radial_hidden=(4,),
        self_connection="linear" if linear else "species",
    )
    before: Layout = ((0, 1, channels[0]),)
    if not first:
        before = Interaction(before, config, N_SPECIES, 0, True, False, 5.0).output_layout
    return Interaction(before, config, N_SPECIES, 0, first, last, 5.0).double()


class Example:
    """Random inputs of the update of a layer."""

    def __init__(self, layer: Interaction, n_atoms: int, seed: int, added: bool) -> None:
        generator = torch.Generator().manual_seed(seed)

        def random(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64).requires_grad_()

        shape = layer.shape
        self.shape, self.scale = shape, 0.3
        self.species = torch.randint(0, N_SPECIES, (n_atoms,), generator=generator)
        self.n_species = layer.n_matrices
        self.messages = [random(n_atoms, i.components, i.messages) for i in shape.irreps]
        self.features = [
            random(n_atoms, shape.irreps[k].components, shape.irreps[k].connected) for k, _ in shape.connections
        ]
        self.added = random(n_atoms, 1, shape.irreps[0].sums) if added else None
        self.outward = [random(i.messages, i.sums) for i in shape.irreps]
        self.connecting = [
            random(shape.irreps[k].connected, self.n_species * shape.irreps[k].sums) for k, _ in shape.connections
        ]
        self.inward = [random(i.results, i.results) for i in shape.irreps] if shape.mixes else []

    @property
    def inputs(self) -> list[Tensor]:
        return [*self.messages, *self.features, *([] if self.added is None else [self.added])]

    @property
    def matrices(self) -> list[Tensor]:
        return [*self.outward, *self.connecting, *self.inward]

    def outputs(self, backend: str) -> list[Tensor]:
        matrices = Matrices(self.outward, self.connecting, self.inward)
        call = UpdateCall(self.shape, self.scale, SpeciesGroups(self.species, self.n_species), matrices)
        results, mixed = update(call, self.messages, self.features, self.added, backend)
        return [*results, *mixed]

    def training_step(self, backend: str) -> list[Tensor]:
        """Outputs, gradients of a scalar of them, and gradients of a loss on these by inputs and matrices."""
        outputs = self.outputs(backend)
        value = torch.stack([torch.sin(output).sum() for output in outputs]).sum()
        first = torch.autograd.grad(value, self.inputs, create_graph=True)
        loss = torch.stack([g.pow(3).sum() for g in first]).sum() + value.square()
        return [*outputs, *first, *torch.autograd.grad(loss, [*self.inputs, *self.matrices])]


def assert_equal(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-10) -> None:
    for a, b in zip(found, expected, strict=True):
        size = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * size)


CHANNELS = [(8, 8, 8), (32, 32), (5, 3, 2), (1,), (20, 12), (7, 16, 33)]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_training_step_equals_the_reference(data: st.DataObject) -> None:
    channels, parity, linear = data.draw(st.sampled_from(CHANNELS)), data.draw(st.booleans()), data.draw(st.booleans())
    first, last = data.draw(st.booleans()), data.draw(st.booleans())
    n_atoms, added = data.draw(st.sampled_from([1, 2, 23, 60, 130])), data.draw(st.booleans())
    torch.set_num_threads(data.draw(st.sampled_from([1, 2])))
    example = Example(layer_of(channels, parity, first, last, linear), n_atoms, data.draw(st.integers(0, 99)), added)
    assert_equal(example.training_step("cpp"), example.training_step("reference"))


@pytest.mark.parametrize("used", [0, 1])
def test_outputs_that_nobody_uses(used: int) -> None:
    """Cotangents that are absent count as zero, and what the output does not depend on has no gradient."""
    example = Example(layer_of((8, 8), False, False, False, False), 30, 1, True)
    found = []
    for backend in ("cpp", "reference"):
        value = torch.sin(example.outputs(backend)[used]).sum()
        (first,) = torch.autograd.grad(value, example.messages[used], create_graph=True)
        (first.square().sum() + value).backward(inputs=[*example.messages, *example.outward])
        leaves = [*example.messages, *example.outward]
        found.append([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
        for leaf in leaves:
            leaf.grad = None
    assert_equal(*found)


def test_gradients_of_matrices_can_be_differentiated() -> None:
    example = Example(layer_of((5, 3), True, False, False, False), 9, 2, True)
    found = []
    for backend in ("cpp", "reference"):
        value = torch.stack([torch.sin(output).sum() for output in example.outputs(backend)]).sum()
        first = torch.autograd.grad(value, [*example.matrices, *example.inputs], create_graph=True)
        loss = torch.stack([g.square().sum() for g in first]).sum()
        found.append(list(torch.autograd.grad(loss, [*example.matrices, *example.inputs])))
    assert_equal(*found)


def test_second_derivatives_equal_finite_differences() -> None:
    example = Example(layer_of((2, 1), False, False, False, False), 3, 4, True)

    def function(*_: Tensor) -> tuple[Tensor, ...]:
        return tuple(example.outputs("cpp"))

    assert torch.autograd.gradcheck(function, (*example.inputs, *example.matrices))
    assert torch.autograd.gradgradcheck(function, (*example.inputs, *example.matrices))


def test_frozen_matrices_get_no_gradient_and_the_rest_is_right() -> None:
    example = Example(layer_of((8, 8), False, False, False, False), 40, 3, False)
    for matrix in [*example.outward, *example.inward]:
        matrix.requires_grad_(False)
    found = []
    for backend in ("cpp", "reference"):
        value = torch.stack([torch.sin(output).sum() for output in example.outputs(backend)]).sum()
        first = torch.autograd.grad(value, example.inputs, create_graph=True)
        loss = torch.stack([g.square().sum() for g in first]).sum()
        found.append(list(torch.autograd.grad(loss, [*example.inputs, *example.connecting])))
    assert_equal(*found)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_part_of_the_gradients(data: st.DataObject) -> None:
    """Whatever is frozen, and whatever first and second derivatives are taken of which outputs."""
    example = Example(layer_of((5, 3), data.draw(st.booleans()), False, False, False), 7, 3, True)
    tensors = [*example.inputs, *example.matrices]
    for tensor in tensors:
        tensor.requires_grad_(data.draw(st.booleans()))
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    assume(leaves)
    some = st.lists(st.sampled_from(range(len(leaves))), min_size=1, unique=True)
    of_first, of_second = data.draw(some), data.draw(some)
    used = data.draw(st.lists(st.sampled_from(range(len(example.outputs("reference")))), min_size=1, unique=True))
    found: list[list[Tensor]] = []
    for backend in ("cpp", "reference"):
        outputs = example.outputs(backend)
        value = torch.stack([torch.sin(outputs[k]).sum() for k in used]).sum()
        assume(value.requires_grad)
        options = {"allow_unused": True, "materialize_grads": True}
        first = torch.autograd.grad(value, [leaves[k] for k in of_first], create_graph=True, **options)
        loss = torch.stack([g.square().sum() for g in first]).sum() + value.square()
        found.append([*first, *torch.autograd.grad(loss, [leaves[k] for k in of_second], **options)])
    assert_equal(*found)


def test_species_with_gaps_in_memory() -> None:
    example = Example(layer_of((4,), False, False, False, False), 9, 1, False)
    expected = example.outputs("reference")
    example.species = torch.stack([example.species] * 2, 1)[:, 0]
    assert not example.species.is_contiguous()
    assert_equal(example.outputs("cpp"), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_results_repeat_bit_for_bit(threads: int) -> None:
    torch.set_num_threads(threads)
    example = Example(layer_of((8, 8, 8), False, False, False, False), 150, 5, True)
    first, second = (example.training_step("cpp") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_single_precision_over_the_range_of_the_gate() -> None:
    """Scalars from where the exponential function underflows to where it overflows."""
    example = Example(layer_of((8,), False, False, False, False), 200, 6, True)
    assert example.added is not None
    with torch.no_grad():
        example.added *= 40.0
    expected = [output.detach() for output in example.outputs("reference")]
    for name in ("messages", "features", "outward", "connecting", "inward"):
        setattr(example, name, [tensor.detach().float() for tensor in getattr(example, name)])
    example.added = example.added.detach().float()
    assert_equal([output.double() for output in example.outputs("cpp")], expected, 1e-6)


def test_nan_reaches_its_atom_and_no_other() -> None:
    example = Example(layer_of((8, 8), False, False, False, False), 30, 8, False)
    with torch.no_grad():
        example.messages[0][11] = float("nan")
    for output in example.outputs("cpp"):
        bad = torch.zeros(30, dtype=torch.bool)
        bad[11] = True
        assert torch.equal(output.isnan().any(2).any(1), bad)


def test_a_third_derivative_is_refused() -> None:
    example = Example(layer_of((4, 4), False, False, False, False), 5, 9, False)
    value = torch.stack([output.pow(3).sum() for output in example.outputs("cpp")]).sum()
    (first,) = torch.autograd.grad(value, example.messages[0], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), example.messages[0], create_graph=True)
    with pytest.raises(RuntimeError, match="third derivative"):
        torch.autograd.grad(second.sum(), example.messages[0])
