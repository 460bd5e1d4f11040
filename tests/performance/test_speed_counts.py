"""The count of operations is that of an algorithm which gives the convolution and its derivatives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mfbench.benchmarks.performance.scaling.fit import power_law
from mfbench.benchmarks.performance.scaling.flops import Kernel, bytes_of, flops_of_pass, flops_per_edge
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.convolution.reference import convolve_reference

SMALL: Layout = ((0, 1, 2), (1, -1, 3))


class Counter:
    """Arithmetic that counts: `add` is a multiply–add, `times` a product."""

    def __init__(self) -> None:
        self.operations = 0

    def add(self, total: float, a: float, b: float) -> float:
        self.operations += 2
        return total + a * b

    def times(self, a: float, b: float) -> float:
        self.operations += 1
        return a * b


class Edge:
    """One edge into one atom, with random inputs; every kernel is written out with counted arithmetic."""

    def __init__(self, paths: TensorProductInstructions) -> None:
        self.paths, self.count = paths, Counter()
        rng = np.random.default_rng(3)
        self.y, self.b = rng.standard_normal((2, paths.n_harmonics))
        self.c, self.a = rng.standard_normal((2, 4))
        self.t = rng.standard_normal((4, paths.n_weights))
        self.x = [rng.standard_normal((2 * degree + 1, c)) for degree, _, c in paths.input]
        self.z = [rng.standard_normal(x.shape) for x in self.x]
        self.g = [rng.standard_normal((2 * degree + 1, c)) for degree, _, c in paths.output_layout]

    def matrix(self, q: int, harmonics: np.ndarray) -> dict[tuple[int, int], float]:
        """M of path q by (input component, output row)."""
        table, made = self.paths.coefficients(q), {}
        for m1, m2, m3 in np.argwhere(table):
            y = harmonics[self.paths.paths[q].l2 ** 2 + m2]
            made[m1, m3] = self.count.add(made.get((m1, m3), 0.0), table[m1, m2, m3], y)
        return made

    def weight(self, q: int, u: int, spline: np.ndarray) -> float:
        total = 0.0
        for r in range(4):
            total = self.count.add(total, spline[r], self.t[r, self.paths.weight_offsets[q] + u])
        return total

    def channels(self, q: int) -> Iterator[tuple[int, int]]:
        """Channel of path q, and its place in the output irrep."""
        path, offset = self.paths.paths[q], 0
        for other in self.paths.paths_into(path.k_out):
            if other == q:
                break
            offset += self.paths.input[self.paths.paths[other].k_in][2]
        return ((u, offset + u) for u in range(self.paths.input[path.k_in][2]))

    def product(self, matrix: dict[tuple[int, int], float], x: np.ndarray, rows: int) -> np.ndarray:
        made = np.zeros(rows)
        for (m1, m3), value in matrix.items():
            made[m3] = self.count.add(made[m3], value, x[m1])
        return made

    def forward(self) -> list[np.ndarray]:
        add, out = self.count.add, [np.zeros_like(g) for g in self.g]
        for q, path in enumerate(self.paths.paths):
            matrix = self.matrix(q, self.y)
            for u, place in self.channels(q):
                w = self.weight(q, u, self.c)
                f = self.product(matrix, self.x[path.k_in][:, u], len(out[path.k_out]))
                for m3 in range(len(f)):
                    out[path.k_out][m3, place] = add(out[path.k_out][m3, place], w, f[m3])
        return out

    def backward(self, geometry: bool) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """∂x, and ∂Y and ∂c, or ∂t."""
        add, times = self.count.add, self.count.times
        gx, gy, gc, gt = [np.zeros_like(x) for x in self.x], np.zeros_like(self.y), np.zeros(4), np.zeros_like(self.t)
        for q, path in enumerate(self.paths.paths):
            matrix, table = self.matrix(q, self.y), self.paths.coefficients(q)
            for_matrix = dict.fromkeys(matrix, 0.0)
            for u, place in self.channels(q):
                w, x, g = self.weight(q, u, self.c), self.x[path.k_in][:, u], self.g[path.k_out][:, place]
                wg = [times(w, value) for value in g]
                f, for_weight = self.product(matrix, x, len(g)), 0.0
                for m3 in range(len(g)):
                    for_weight = add(for_weight, g[m3], f[m3])
                for (m1, m3), value in matrix.items():
                    gx[path.k_in][m1, u] = add(gx[path.k_in][m1, u], value, wg[m3])
                    if geometry:
                        for_matrix[m1, m3] = add(for_matrix[m1, m3], wg[m3], x[m1])
                offset = self.paths.weight_offsets[q] + u
                for r in range(4):
                    if geometry:
                        gc[r] = add(gc[r], self.t[r, offset], for_weight)
                    else:
                        gt[r, offset] = add(gt[r, offset], self.c[r], for_weight)
            for m1, m2, m3 in np.argwhere(table) if geometry else ():
                j = path.l2**2 + m2
                gy[j] = add(gy[j], table[m1, m2, m3], for_matrix[m1, m3])
        return gx, gy, gc, gt

    def double_backward(self) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """∂g, ∂x and ∂t of z · ∂x + b · ∂Y + a · ∂c."""
        add, times = self.count.add, self.count.times
        gg, gx = [np.zeros_like(g) for g in self.g], [np.zeros_like(x) for x in self.x]
        gt = np.zeros_like(self.t)
        for q, path in enumerate(self.paths.paths):
            m, b = self.matrix(q, self.y), self.matrix(q, self.b)
            for u, place in self.channels(q):
                x, z, g = self.x[path.k_in][:, u], self.z[path.k_in][:, u], self.g[path.k_out][:, place]
                w, v = self.weight(q, u, self.c), self.weight(q, u, self.a)
                wg, vg = [times(w, value) for value in g], [times(v, value) for value in g]
                d = self.product(m, z, len(g)) + self.product(b, x, len(g))
                f, for_w, for_v = self.product(m, x, len(g)), 0.0, 0.0
                for m3 in range(len(g)):
                    gg[path.k_out][m3, place] = add(gg[path.k_out][m3, place], w, d[m3])
                    gg[path.k_out][m3, place] = add(gg[path.k_out][m3, place], v, f[m3])
                    for_w, for_v = add(for_w, g[m3], d[m3]), add(for_v, g[m3], f[m3])
                for m1, m3 in m:
                    gx[path.k_in][m1, u] = add(gx[path.k_in][m1, u], m[m1, m3], vg[m3])
                    gx[path.k_in][m1, u] = add(gx[path.k_in][m1, u], b[m1, m3], wg[m3])
                offset = self.paths.weight_offsets[q] + u
                for r in range(4):
                    gt[r, offset] = add(gt[r, offset], self.c[r], for_w)
                    gt[r, offset] = add(gt[r, offset], self.a[r], for_v)
        return gg, gx, gt

    def torch(self) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """(Y, c, t, *x), outputs and cotangents of the reference: a loop of an atom to itself."""
        inputs = [torch.tensor(v, requires_grad=True) for v in (self.y, self.c, self.t)]
        features = [torch.tensor(x[None], requires_grad=True) for x in self.x]
        zero = torch.zeros(1, dtype=torch.int64)
        weights = (inputs[1] @ inputs[2])[None]
        out = convolve_reference(self.paths, features, zero, zero, inputs[0][None], weights)
        return [*inputs, *features], out, [torch.tensor(g[None], requires_grad=True) for g in self.g]


@pytest.fixture(params=[2, 1])
def edge(request: pytest.FixtureRequest) -> Edge:
    return Edge(TensorProductInstructions(SMALL, request.param, [(0, 1), (1, -1), (2, 1)]))


def _same(found: list[np.ndarray], expected: list[torch.Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy().reshape(a.shape), rtol=0, atol=1e-12)


def test_forward(edge: Edge) -> None:
    _same(edge.forward(), edge.torch()[1])
    assert edge.count.operations == flops_per_edge(edge.paths, "forward")


@pytest.mark.parametrize("kernel", ["backward_geometry", "backward_parameters"])
def test_backward(edge: Edge, kernel: Kernel) -> None:
    geometry = kernel == "backward_geometry"
    gx, gy, gc, gt = edge.backward(geometry)
    inputs, out, cotangents = edge.torch()
    y, c, t, *x = torch.autograd.grad(out, inputs, cotangents)
    _same(gx, x)
    _same([gy, gc] if geometry else [gt], [y, c] if geometry else [t])
    assert edge.count.operations == flops_per_edge(edge.paths, kernel)


def test_double_backward(edge: Edge) -> None:
    gg, gx, gt = edge.double_backward()
    inputs, out, cotangents = edge.torch()
    y, c, _, *x = torch.autograd.grad(out, inputs, cotangents, create_graph=True)
    along = [torch.tensor(v) for v in (edge.b, edge.a)] + [torch.tensor(z[None]) for z in edge.z]
    total = sum((f * d).sum() for f, d in zip([y, c, *x], along, strict=True))
    t, *rest = torch.autograd.grad(total, [*inputs[2:], *cotangents])
    _same([gt], [t])
    _same([*gx, *gg], rest)
    assert edge.count.operations == flops_per_edge(edge.paths, "double_backward")


def test_without_gradients_of_features_the_products_with_them_are_saved() -> None:
    paths = TensorProductInstructions(((0, 1, 32),), 2, [(0, 1), (1, -1), (2, 1)])
    # three paths l = 0, 1, 2 from scalars: 1 + 3 + 5 pairs, one coefficient each
    assert flops_per_edge(paths, "forward") == 2 * 9 + 8 * 96 + 2 * 9 * 32 + 2 * 9 * 32
    saved = flops_per_edge(paths, "backward_geometry") - flops_per_edge(paths, "backward_geometry", for_features=False)
    assert saved == 2 * 9 * 32
    assert flops_of_pass([paths], 10, ["backward_geometry"]) == 10 * (
        flops_per_edge(paths, "backward_geometry", for_features=False)
    )


def test_traffic_counts_every_array_once() -> None:
    paths = TensorProductInstructions(((0, 1, 8),), 1, [(0, 1), (1, -1)])
    arrays = [
        torch.zeros(100, dtype=torch.int64),  # senders
        torch.zeros(100, dtype=torch.int32),  # intervals
        torch.zeros(100, 4),  # harmonics
        torch.zeros(100, 4),  # splines
        torch.zeros(11, dtype=torch.int64),  # row pointers
        torch.zeros(10, 1, 8),
        torch.zeros(10, 1, 8),
        torch.zeros(10, 3, 8),
        torch.zeros(131, 16),  # table
    ]
    total = sum(array.nbytes for array in arrays)
    assert bytes_of(paths, "forward", 10, 100, 131) == total
    gradients = [torch.zeros(100, 4), torch.zeros(100, 4), torch.zeros(10, 1, 8)]
    assert bytes_of(paths, "backward_geometry", 10, 100, 131) == total + sum(array.nbytes for array in gradients)


def test_power_law_is_found() -> None:
    x = np.array([1e2, 1e3, 1e4, 1e5])
    exact = power_law(x, 3e-5 * x**1.1)
    assert exact.exponent == pytest.approx(1.1)
    assert exact.high - exact.low < 1e-6
    assert exact.factor == pytest.approx(3e-5)
    noisy = power_law(x, 3e-5 * x * np.array([1.1, 0.9, 0.95, 1.05]))
    assert noisy.low < 1.0 < noisy.high
    assert noisy.low < noisy.exponent < noisy.high
    assert np.isnan(power_law([1, 2], [1, 2]).low)


@pytest.mark.parametrize(("x", "t"), [([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 1.0])])
def test_no_power_law_through_one_size_or_zero(x: list[float], t: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        power_law(x, t)
