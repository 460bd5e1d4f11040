"""Floating-point operations and memory traffic of the convolution, counted from the tables of its paths.

The count is that of the formulas below, so it does not depend on how a kernel arranges its loops. A multiply–add is
two operations, a bare product one. For one edge, with K the non-zero Clebsch–Gordan coefficients of a path, T the pairs
(output row, input component) that any of them joins, R = 2 l3 + 1 its output rows, C its channels and W = Σ C the
radial weights:

- M = Σ CG · Y, the path's matrix for this edge: 2 K, once for all channels;
- w = Σ_r c_r t_r, cubic B-splines: 8 C;
- forward, out += w · (M x): 2 T C for M x, 2 R C for the sum;
- backward_geometry: M and w again; w g (R C); M x (2 T C) and ∂w += g · (M x) (2 R C); ∂x += M^T (w g) (2 T C);
  ∂M += (w g) x^T, over channels (2 T C), and ∂Y += CG · ∂M (2 K); ∂c_r += t_r ∂w (8 C);
- backward_parameters: as backward_geometry without ∂M, ∂Y and ∂c, but ∂t_r += c_r ∂w (8 C);
- double_backward, the derivative of backward_geometry along (z, b, a): M and B = Σ CG · b (4 K); w and u = Σ_r a_r t_r
  (16 C); w g and u g (2 R C); d = M z + B x (4 T C) and f = M x (2 T C); out += w d + u f (4 R C); ∂w += g d and
  ∂u += g f (4 R C); ∂x += M^T (u g) + B^T (w g) (4 T C); ∂t_r += c_r ∂w + a_r ∂u (16 C).

Harmonics, splines, gates and activations are left out: they are a few per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions

Kernel = Literal["forward", "backward_geometry", "backward_parameters", "double_backward"]

#: Kernels that one evaluation runs in every layer, and those of a training step on energies and forces.
ENERGY_FORCES: tuple[Kernel, ...] = ("forward", "backward_geometry")
TRAINING_STEP: tuple[Kernel, ...] = (*ENERGY_FORCES, "double_backward", "backward_parameters")


class _Sizes(NamedTuple):
    coefficients: int  # Σ K
    pairs: int  # Σ T C
    rows: int  # Σ R C
    weights: int  # Σ C


def _sizes(paths: TensorProductInstructions) -> _Sizes:
    coefficients = pairs = rows = 0
    for q, path in enumerate(paths.paths):
        table = paths.coefficients(q) != 0.0
        channels = paths.input[path.k_in][2]
        coefficients += int(np.count_nonzero(table))
        pairs += int(np.count_nonzero(table.any(1))) * channels
        rows += table.shape[2] * channels
    return _Sizes(coefficients, pairs, rows, paths.n_weights)


def flops_per_edge(paths: TensorProductInstructions, kernel: Kernel, for_features: bool = True) -> int:
    """Operations of a kernel for one edge.

    Parameters
    ----------
    paths
        Of the convolution.
    kernel
        Which.
    for_features
        Whether a backward kernel gives ∂x, too.
    """
    k, t, r, w = _sizes(paths)
    back = 2 * t if for_features else 0
    if kernel == "forward":
        return 2 * k + 8 * w + 2 * t + 2 * r
    if kernel == "backward_geometry":
        return 4 * k + 16 * w + 4 * t + 3 * r + back
    if kernel == "backward_parameters":
        return 2 * k + 16 * w + 2 * t + 3 * r + back
    return 4 * k + 32 * w + 10 * t + 10 * r


def flops_of_pass(layers: Sequence[TensorProductInstructions], n_edges: int, kernels: Sequence[Kernel]) -> int:
    """Operations of all convolutions of a network; the first layer's features do not depend on the geometry."""
    return n_edges * sum(
        flops_per_edge(paths, kernel, for_features=number > 0 or kernel != "backward_geometry")
        for number, paths in enumerate(layers)
        for kernel in kernels
    )


def bytes_of(
    paths: TensorProductInstructions,
    kernel: Literal["forward", "backward_geometry"],
    n_atoms: int,
    n_edges: int,
    rows: int,
) -> int:
    """Memory traffic that a float32 kernel cannot do without: every array that it reads or writes, once.

    Parameters
    ----------
    paths
        Of the convolution.
    kernel
        Which.
    n_atoms, n_edges
        Of the batch.
    rows
        Of the radial table.
    """
    edge = 8 + 4 + 4 * paths.n_harmonics + 16  # sender, interval, harmonics, spline weights
    features = 4 * n_atoms * sum((2 * degree + 1) * channels for degree, _, channels in paths.input)
    out = 4 * n_atoms * sum((2 * degree + 1) * channels for degree, _, channels in paths.output_layout)
    table = 4 * rows * paths.n_weights
    total = n_edges * edge + 8 * (n_atoms + 1) + features + out + table
    if kernel == "backward_geometry":
        total += n_edges * 4 * (paths.n_harmonics + 4) + features  # gradients of harmonics, splines and features
    return total
