"""The spline table that stands in for a radial network."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.radial.functions import bessel
from mfbench.mfcore.ops.tracing import constant_in_graph


class RadialTable(NamedTuple):
    """Radial weights as control points of a uniform cubic B-spline.

    Attributes
    ----------
    values
        (n_knots + 3, n_weights).
    """

    values: Tensor

    def dense(self, geometry: EdgeGeometry) -> Tensor:
        """Weights of every edge, (E, n_weights)."""
        if geometry.knot is None or geometry.spline is None:
            raise ConfigError("a radial table needs the geometry of table mode, but this one is of exact mode.")
        return evaluate_spline(geometry.knot, geometry.spline, self.values)


def evaluate_spline(knot: Tensor, spline: Tensor, values: Tensor) -> Tensor:
    """Σ_k spline[e, k] · values[knot[e] + k] for intervals (E,), B-spline weights (E, 4) and control points (K, W)."""
    # a GEMM with the sparse matrix of spline weights: its derivatives are GEMMs too, deterministic on any device
    columns = knot.to(torch.int64)[:, None] + torch.arange(4, device=knot.device)
    return spline.new_zeros(spline.shape[0], values.shape[0]).scatter(1, columns, spline) @ values


RadialWeights = Tensor | RadialTable


@lru_cache(maxsize=64)
def _interpolation(n_knots: int) -> np.ndarray:
    """Matrix (n_knots + 3, n_knots + 1) from values at the knots to spline control points.

    End conditions are "not a knot", which keep fourth order up to the ends.
    """
    n = n_knots + 3
    system = np.zeros((n, n))
    for k in range(n_knots + 1):
        system[k, k : k + 3] = (1 / 6, 4 / 6, 1 / 6)
    system[n_knots + 1, :5] = system[n_knots + 2, -5:] = (1.0, -4.0, 6.0, -4.0, 1.0)
    return np.linalg.inv(system)[:, : n_knots + 1]


@lru_cache(maxsize=64)
def _constants(n_knots: int, n_bessel: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # cached: must not become inference tensors
        x = torch.arange(n_knots + 1, dtype=torch.float64) / n_knots
        matrix = torch.from_numpy(_interpolation(n_knots))
        return bessel(x, n_bessel).to(device, dtype), matrix.to(device, dtype)


@constant_in_graph
def basis_at_knots(n_knots: int, n_bessel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Bessel functions at the knots, (n_knots + 1, n_bessel), made in float64."""
    return _constants(n_knots, n_bessel, dtype, device)[0]


@constant_in_graph
def interpolation(n_knots: int, n_bessel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix (n_knots + 3, n_knots + 1) from values at the knots to control points, made in float64."""
    return _constants(n_knots, n_bessel, dtype, device)[1]
