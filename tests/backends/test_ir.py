"""The program of the kernels for any irreps: its Python print, run as plain Python, equals the reference."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from mfbench.mfcore.backends.cpp.convolution import convolution_source as cpp_source
from mfbench.mfcore.backends.ir import GROUPS, Program
from mfbench.mfcore.backends.numba.convolution import convolution_source
from mfbench.mfcore.backends.numba.kernels import NumbaConvolution
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution import autograd as by_kernels
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels
from mfbench.mfcore.ops.convolution.reference import convolve_reference
from tests.ops.examples import radial_for, random_features, random_graph

IRREPS = [(degree, parity) for degree in range(3) for parity in (1, -1)]


def plain_functions(lanes: int) -> dict[str, Any]:
    """Functions that generated source calls, on memory by way of numpy, float64."""
    kept = []

    def view(kind: Any, address: int, place: int, n: int) -> np.ndarray:
        size = ctypes.sizeof(kind)
        return np.ctypeslib.as_array((kind * n).from_address(address + place * size))

    def add(address: int, place: int, value: np.ndarray) -> None:
        view(ctypes.c_double, address, place, lanes)[:] += value

    def st_(address: int, place: int, value: np.ndarray) -> None:
        view(ctypes.c_double, address, place, lanes)[:] = value

    def put(address: int, place: int, value: float) -> None:
        view(ctypes.c_double, address, place, 1)[0] = value

    def room(n: int) -> int:
        kept.append(np.full(n, np.nan))
        return int(kept[-1].ctypes.data)

    def fold(half: int) -> Any:
        def folded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            blocks = [part.reshape(-1, 2, half).sum(1) for part in (a, b)]
            return np.stack(blocks, 1).ravel()

        return folded

    return {
        "S": np.float64,
        "SIZE": 8,
        "ld": lambda address, place: view(ctypes.c_double, address, place, lanes).copy(),
        "at": lambda address, place: float(view(ctypes.c_double, address, place, 1)[0]),
        "index_at": lambda address, place: int(view(ctypes.c_int64, address, place, 1)[0]),
        "knot_at": lambda address, place: int(view(ctypes.c_int32, address, place, 1)[0]),
        "add": add,
        "st": st_,
        "put": put,
        "zero": lambda: np.zeros(lanes),
        "room": room,
        **{f"fold{2**k}": fold(2**k) for k in range(5)},
    }


class Interpreted(NumbaConvolution):
    """The kernels as numba would compile them, by the interpreter."""

    def __init__(self, paths: TensorProductInstructions, lanes: int) -> None:
        self.paths, self.lanes = paths, lanes

    def _function(self, name: str) -> Any:
        source = convolution_source(self.paths, name, "float64", self.lanes)
        names = plain_functions(self.lanes)
        exec(source[source.index("def kernel") :], names)
        return names["kernel"]


def layouts() -> st.SearchStrategy[tuple[Any, ...]]:
    irreps = st.lists(st.sampled_from(IRREPS), min_size=1, max_size=3, unique=True)
    channels = st.lists(st.sampled_from([1, 2, 3, 4]), min_size=3, max_size=3)
    inputs = st.tuples(irreps, channels).map(lambda x: tuple((*i, c) for i, c in zip(x[0], x[1], strict=False)))
    return st.tuples(inputs, st.integers(0, 2), st.lists(st.sampled_from(IRREPS), min_size=1, max_size=4, unique=True))


def step(
    paths: TensorProductInstructions, kernels: ConvolutionKernels | None, edges: int, seed: int
) -> list[torch.Tensor]:
    """Outputs, forces, and gradients of a loss on forces and energy."""
    graph, radial = random_graph(4, edges, seed), radial_for(paths, seed=seed)
    features = [f.requires_grad_() for f in random_features(paths, 4, seed)]
    vectors = graph.vectors.requires_grad_()
    geometry = graph.geometry(radial, paths.lmax, "reference")
    table = radial.table()
    if kernels is None:
        weights = table.dense(geometry)
        outputs = convolve_reference(paths, features, graph.sender, graph.receiver, geometry.harmonics, weights)
    else:
        outputs = by_kernels.convolve_by_kernels(paths, kernels, features, geometry, table)
    value = torch.stack([torch.sin(output).sum() for output in outputs]).sum()
    (forces,) = torch.autograd.grad(value, vectors, create_graph=True)
    loss = forces.square().sum() + value.square()
    used = [f for k, f in enumerate(features) if paths.paths_from(k)]
    return [*outputs, forces, *torch.autograd.grad(loss, [*used, *radial.parameters()])]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(layout=layouts(), edges=st.sampled_from([0, 1, 3]), seed=st.integers(0, 1000), data=st.data())
def test_any_irreps_equal_the_reference(layout: Any, edges: int, seed: int, data: st.DataObject) -> None:
    try:
        paths = TensorProductInstructions(*layout)
    except ConfigError:
        reject()  # no path
    divisor = int(np.gcd.reduce([c for _, _, c in paths.input]))
    lanes = data.draw(st.sampled_from([n for n in (1, 2, 4) if divisor % n == 0]))
    found, expected = step(paths, Interpreted(paths, lanes), edges, seed), step(paths, None, edges, seed)
    for a, b in zip(found, expected, strict=True):
        size = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10 * size)


def test_pointers_are_what_the_kernels_are_given() -> None:
    paths = TensorProductInstructions(((0, 1, 4), (1, -1, 2)), 1, [(0, 1), (1, -1)])
    program = Program(paths)
    shared = ["row", "sender", "knots", "y", "c", "t", "x0", "x1"]
    assert program.pointers("forward") == [*shared, "o0", "o1"]
    assert program.pointers("backward_geometry") == [*shared, "g0", "g1", "gy", "gc", "gx0", "gx1"]
    assert program.n_out == sum((2 * degree + 1) * c for degree, _, c in paths.output_layout)
    for kernel in GROUPS:
        assert f'extern "C" int {kernel}(' in cpp_source(paths, "double")
