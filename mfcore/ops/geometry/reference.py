"""Harmonics and splines of edge vectors in plain torch and e3nn: any device and dtype, and any order of derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from mfbench.mfcore.ops.radial.functions import envelope


def reference_harmonics(vectors: Tensor, lmax: int) -> Tensor:
    """Real spherical harmonics of the directions of (E, 3) vectors by e3nn, (E, (lmax + 1)²)."""
    from e3nn import o3

    degrees = list(range(lmax + 1))
    harmonics: Tensor = o3.spherical_harmonics(degrees, vectors, normalize=True, normalization="component")
    return harmonics


def reference_spline(x: Tensor, n_knots: int, envelope_power: int) -> tuple[Tensor, Tensor]:
    """Interval (E,) int32, and the cubic B-splines there times the envelope (E, 4), of reduced distances (E,)."""
    scaled = x * n_knots
    with torch.no_grad():
        interval = scaled.nan_to_num(nan=0.0).clamp(0, n_knots - 1).floor()
    u = scaled - interval
    v = 1.0 - u
    weights = (v**3, 4.0 - 3.0 * u * u * (1.0 + v), 4.0 - 3.0 * v * v * (1.0 + u), u**3)
    splines = torch.stack(weights, 1) * (envelope(x, envelope_power) / 6.0)[:, None]
    return interval.to(torch.int32), splines
