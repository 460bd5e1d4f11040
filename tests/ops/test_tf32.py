"""Products in TF32: exact rounding, derivatives of any order, and what they do to the core."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from e3nn import o3
from torch import Tensor

from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.node_update import tf32
from mfbench.mfcore.ops.node_update.tf32 import rounded, tf32_product
from mfbench.mfcore.potentials.potential import Component, Potential, load
from mfbench.mfcore.potentials.stored import HEADER
from tests.training.test_batches import trainer

EPSILON = 2.0**-11  # half a unit in the last place, relative
SPECIES = (1, 6, 8)


def test_rounding_is_to_the_nearest_with_ten_bits() -> None:
    unit = 2.0**-10
    given = [1.0, 1 + unit, 1 + unit / 2, 1 + 1.5 * unit, 1 + unit / 2 + 2.0**-23, -1 - 0.4 * unit, 0.0, 2.0**-130]
    expected = [1.0, 1 + unit, 1.0, 1 + 2 * unit, 1 + unit, -1.0, 0.0, 2.0**-130]
    assert rounded(torch.tensor(given)).tolist() == expected
    special = rounded(torch.tensor([math.inf, -math.inf, math.nan, 3.4028e38]))
    assert special.tolist()[:2] == [math.inf, -math.inf]
    assert math.isnan(special[2])
    assert math.isinf(special[3])  # beyond the largest number of ten bits
    x = torch.randn(10000) * torch.logspace(-20, 20, 10000)
    assert float(((rounded(x) - x) / x).abs().max()) <= EPSILON
    assert torch.equal(rounded(rounded(x)), rounded(x))


def test_a_product_is_within_the_stated_bound() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(50, 3, 70), torch.randn(70, 20)
    error = (tf32_product(x, weight).double() - x.double() @ weight.double()).abs()
    bound = 2 * EPSILON * (x.double().abs() @ weight.double().abs())
    assert (error <= 1.01 * bound).all()
    assert float(error.max()) > 1e-5  # it is rounded at all


def test_derivatives_are_those_of_a_product() -> None:
    """With small integers nothing is rounded: values, first and second derivatives are exact."""
    generator = torch.Generator().manual_seed(1)
    found: list[list[Tensor]] = []
    given = [torch.randint(-3, 4, shape, generator=generator).float() for shape in ((5, 2, 4), (4, 3), (5, 2, 3))]
    for product in (tf32_product, torch.matmul):
        x, weight, cotangent = (tensor.clone().requires_grad_() for tensor in given)
        made = product(x, weight)
        first = torch.autograd.grad(made, (x, weight), cotangent, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum() + first[1].sum(), (x, weight, cotangent))
        found.append([made, *first, *second])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_cotangents_are_rounded_too() -> None:
    weight = torch.eye(2)
    x = torch.ones(1, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(tf32_product(x, weight), x, torch.tensor([[1 + 2.0**-12, 3.0]]))
    assert gradient.tolist() == [[1.0, 3.0]]


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"of float32, but these are of torch\.float64"):
        tf32_product(torch.ones(2, 2, dtype=torch.float64), torch.ones(2, 2, dtype=torch.float64))
    core = make_core().to(dtype=torch.float64)
    with pytest.raises(ConfigError, match="products in TF32 are of float32"):
        core(batch_of([molecule("H2O")], torch.float64), tf32=True)


def make_core(**changes: object) -> EquivariantCore:
    torch.manual_seed(5)
    settings = {"cutoff": 4.0, "channels": 16, "n_layers": 2, "radial_hidden": (16,)} | changes
    return EquivariantCore(EquivariantConfig(**settings), SPECIES, ("low", "high"), "one_hot", 8.0)


def molecules() -> list[Atoms]:
    made = [molecule("CH3CH2OH"), molecule("CO2"), Atoms("O")]
    for number, atoms in enumerate(made):
        atoms.rattle(0.1, seed=number)
    return made


def batch_of(frames: list[Atoms], dtype: torch.dtype = torch.float32) -> Batch:
    store = GraphStore(frames, ["high"] * len(frames), ("low", "high"), None, SPECIES, 4.0)
    return store.batch(np.arange(len(frames))).to("cpu", dtype)


def evaluate(core: EquivariantCore, frames: list[Atoms]) -> CoreOutput:
    return core(batch_of(frames), tf32=True)


VARIANTS = [{}, {"parity": True, "self_connection": "linear"}, {"lmax": 1, "channels": (8, 5)}]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_energies_and_forces_are_near_those_of_float32(variant: dict[str, object]) -> None:
    core = make_core(**variant)
    plain, mixed = core(batch_of(molecules())), evaluate(core, molecules())
    size = float(plain.forces.abs().max())
    difference = float((mixed.forces - plain.forces).abs().max())
    assert 1e-6 * size < difference < 5e-3 * size
    assert float((mixed.energy - plain.energy).abs().max()) < 5e-3 * float(plain.energy.abs().max())


def test_equivariance_is_lost_by_no_more_than_the_rounding() -> None:
    """Turned components are other numbers and are rounded otherwise; invariants change in the same measure."""
    core, frames = make_core(), molecules()
    torch.manual_seed(2)
    matrix = o3.rand_matrix(dtype=torch.float64)
    turned = []
    for atoms in frames:
        copy = atoms.copy()
        copy.positions = atoms.positions @ matrix.numpy().T
        turned.append(copy)
    before, after = evaluate(core, frames), evaluate(core, turned)
    forces = before.forces.double() @ matrix.T
    assert float((after.forces - forces).abs().max()) < 5e-3 * float(forces.abs().max())
    assert float((after.energy - before.energy).abs().max()) < 2e-3 * float(before.energy.abs().max())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_of_a_force_loss_reach_all_parameters(checkpointing: bool) -> None:
    core = make_core()
    batch = batch_of(molecules())
    weights = [p for p in core.parameters() if p.requires_grad]
    found = []
    for rounds in (False, True):
        out = core(batch, create_graph=True, tf32=rounds, activation_checkpointing=checkpointing)
        (out.energy.square().sum() + out.forces.square().sum()).backward(inputs=weights)
        found.append([p.grad for p in weights])
        core.zero_grad(set_to_none=True)
    for plain, mixed in zip(*found, strict=True):
        assert plain is not None
        assert mixed is not None
        assert float((mixed - plain).norm()) <= 2e-2 * float(plain.norm())


def test_a_gpu_multiplies_in_tf32_only_inside() -> None:
    before = torch.get_float32_matmul_precision()

    def fail() -> None:
        with tf32._allowed():
            assert torch.get_float32_matmul_precision() == "high"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_float32_matmul_precision() == before


def test_a_mixed_training_selects_and_answers_in_float32(tmp_path: Path) -> None:
    # SOAP makes more of rounding than AdamW does
    mixed, plain = (trainer(None, precision=p, optimizer="adamw") for p in ("mixed", "float32"))
    for one in (mixed, plain):
        one.fit()
    assert mixed.state.scores[0] == plain.state.scores[0]  # before the first step
    assert mixed.state.scores[1:] != plain.state.scores[1:]
    np.testing.assert_allclose(mixed.state.scores, plain.state.scores, rtol=0.05)
    potential = Potential("some", [mixed.core], {"high": (Component(0, "high"),)})
    potential.save(tmp_path)
    assert json.loads((tmp_path / HEADER).read_text())["precision"] == "float32"
    frames = [molecule("H2O"), molecule("CO2")]
    np.testing.assert_array_equal(load(tmp_path).predict(frames).energies, potential.predict(frames).energies)
