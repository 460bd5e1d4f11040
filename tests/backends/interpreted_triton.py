"""Results of the Triton kernels, by Triton's interpreter on the CPU.

Run by ``test_triton.py`` in a process of its own, since the interpreter has to be chosen before Triton is imported:
``TRITON_INTERPRET=1 pytest tests/nn/convolution/interpreted_triton.py``. It needs about 10 ms an edge and kernel, so
graphs are tiny.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from mfbench.mfcore.backends import select as backends
from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.report import backend_report
from mfbench.mfcore.backends.select import provider
from mfbench.mfcore.backends.triton import intervals as triton_intervals
from mfbench.mfcore.backends.triton.compile import interpreted
from mfbench.mfcore.backends.triton.convolution import TritonConvolution
from mfbench.mfcore.backends.triton.intervals import Intervals, divide
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.op import convolve
from mfbench.mfcore.ops.radial.network import RadialNetwork
from tests.backends import test_ir as test_program
from tests.backends import test_kernels
from tests.backends.test_ir import layouts, step
from tests.backends.test_kernels import assert_equal, force_training_step
from tests.ops.examples import CUTOFF, paths_named, random_features, random_graph

assert interpreted()


@triton.jit
def _length(ends, out):  # type: ignore[no-untyped-def]
    n = 0
    for _ in range(tl.load(ends), tl.load(ends + 1)):
        n += 1
    tl.store(out, n)


try:
    _length[(1,)](torch.tensor([2, 5]), torch.zeros(1, dtype=torch.int64))
except Exception as error:  # numpy refuses what older interpreters do
    reason = f"the interpreter of Triton {triton.__version__} does not work here: {error}"
    pytest.skip(reason, allow_module_level=True)


def radial_of_few_intervals(paths: TensorProductInstructions, seed: int = 0) -> RadialNetwork:
    """Each interval costs the interpreter time, edges or not."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RadialNetwork(4, (8,), paths.n_weights, CUTOFF, n_knots=4).double()


@pytest.fixture(autouse=True)
def few_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (test_kernels, test_program):
        monkeypatch.setattr(module, "radial_for", radial_of_few_intervals)


@pytest.mark.parametrize(
    ("name", "n_atoms", "n_edges"),
    [
        ("scalars and an unused irrep, lmax 1", 1, 2),
        ("both parities, unequal channels", 3, 5),
        ("both parities, unequal channels", 3, 0),
        ("natural parity, lmax 2", 2, 2),
        ("lmax 3", 2, 2),
    ],
)
def test_a_force_training_step_equals_the_reference(name: str, n_atoms: int, n_edges: int) -> None:
    found = force_training_step(name, n_atoms, n_edges, 0, "triton")
    again = force_training_step(name, n_atoms, n_edges, 0, "triton") if n_edges == 2 else found
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    assert_equal(found, force_training_step(name, n_atoms, n_edges, 0, "reference"), 1e-10)


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(layout=layouts(), block=st.sampled_from([1, 2, 4]), seed=st.integers(0, 1000))
def test_any_irreps_in_blocks_of_any_size_equal_the_reference(layout: Any, block: int, seed: int) -> None:
    try:
        paths = TensorProductInstructions(*layout)
    except ConfigError:
        reject()  # no path
    kernels = TritonConvolution(paths, torch.float64, block)
    assert_equal(step(paths, kernels, 2, seed), step(paths, None, 2, seed), 1e-10)


def test_a_block_that_is_not_full_and_parts_of_one_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = TensorProductInstructions(((0, 1, 3), (1, -1, 3)), 1, [(0, 1), (1, -1)])
    kernels = TritonConvolution(paths, torch.float64, 2)
    assert kernels._blocks["forward"] == 4
    made = []

    def in_pairs(knot: torch.Tensor, n_intervals: int) -> Intervals:
        made.append(divide(knot, n_intervals, 2))
        return made[-1]

    monkeypatch.setattr(triton_intervals, "divide", in_pairs)
    assert_equal(step(paths, kernels, 7, 5), step(paths, None, 7, 5), 1e-10)
    assert len(made) == 1  # once for both passes
    assert int(made[0].start.diff().max()) > 1


def test_single_precision() -> None:
    found = force_training_step("scalars and an unused irrep, lmax 1", 2, 3, 0, "triton", torch.float32)
    expected = force_training_step("scalars and an unused irrep, lmax 1", 2, 3, 0, "reference")
    assert all(tensor.dtype == torch.float32 for tensor in found)
    assert_equal([tensor.double() for tensor in found], expected, 1e-4)


def test_nan_reaches_the_receiver_and_no_other_atom() -> None:
    paths, graph = paths_named("both parities, unequal channels"), random_graph(4, 6)
    radial = radial_of_few_intervals(paths)
    graph.vectors[3] = float("nan")
    geometry = graph.geometry(radial, paths.lmax, "triton")
    assert geometry.knot is not None
    assert bool((geometry.knot >= 0).all())
    for output in convolve(paths, random_features(paths, 4), geometry, radial(geometry), "triton"):
        bad = torch.zeros(4, dtype=torch.bool)
        bad[graph.receiver[3]] = True
        assert torch.equal(output.isnan().any(2).any(1), bad)


def core_step(frames: list[Atoms], backend: Backend) -> dict[str, torch.Tensor]:
    """Energies, forces, stress, and parameter gradients of a loss on all three."""
    torch.manual_seed(3)
    shape = {"n_layers": 2, "lmax": 1, "channels": 3, "radial_hidden": (4,), "n_knots": 8}
    config = EquivariantConfig(cutoff=2.6, backend=backend, **shape)
    core = EquivariantCore(config, (1, 8, 12), ("low", "high"), "one_hot", 4.0).double()
    store = GraphStore(frames, ["high"] * len(frames), ("low", "high"), None, (1, 8, 12), config.cutoff)
    found = core(store.batch(np.arange(len(frames))), stress=True, create_graph=True)
    assert found.forces is not None
    assert found.stress is not None
    loss = found.energy.square().sum() + found.forces.square().sum() + found.stress.nan_to_num().square().sum()
    parameters = {k: p for k, p in core.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    made = {f"gradient of {k}": g for k, g in zip(parameters, gradients, strict=True) if g is not None}
    made |= {"energy": found.energy, "forces": found.forces, "stress": found.stress.nan_to_num()}
    return {k: value.detach() for k, value in made.items()}


def test_the_core_on_a_crystal_a_molecule_and_an_isolated_atom_equals_the_reference() -> None:
    crystal, water = bulk("MgO", "rocksalt", a=4.2), molecule("H2O")
    crystal.rattle(0.05, seed=2)
    frames = [Atoms("O"), crystal, water]
    found, expected = core_step(frames, "triton"), core_step(frames, "reference")
    assert found.keys() == expected.keys()
    assert len([k for k in expected if k.startswith("gradient of layers")]) > 10
    assert_equal(list(found.values()), list(expected.values()), 1e-10)


def test_it_is_offered_on_the_cpu_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    backends.forget()
    assert provider("triton").device == "cpu"
    assert "triton" in " ".join(backend_report().values())
    paths, graph = paths_named("scalars and an unused irrep, lmax 1"), random_graph(2, 1)
    radial = radial_of_few_intervals(paths)
    with caplog.at_level(logging.INFO, logger="mfbench"):
        for _ in range(2):
            geometry = graph.geometry(radial, paths.lmax, "triton")
            convolve(paths, random_features(paths, 2), geometry, radial(geometry), "triton")
    messages = [record.getMessage() for record in caplog.records if "backend" in record.getMessage()]
    assert len(messages) == 1
    assert "backend triton (Triton's interpreter" in messages[0]
