"""Functions of distances: Bessel basis and cutoff envelope, and the settings that all layers share."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

RadialMode = Literal["table", "exact"]

# A trained network on 128 intervals differs from its exact self by 0.003 meV/atom and 0.3 meV/Å in the mean; on 96 by
# 0.7 meV/Å, on 64 by 3 meV/Å (molecules, ωB97X labels; forces of 200 to 300 meV/Å error).
DEFAULT_KNOTS = 128


class RadialSettings(NamedTuple):
    """Settings that all layers share: how a distance is turned into the inputs of the radial networks.

    Attributes
    ----------
    cutoff
        Å.
    n_bessel
        Number of Bessel functions.
    envelope_power
        Power p of the envelope; value and first two derivatives vanish at the cutoff.
    mode
        "exact": the network is evaluated on every edge. "table": on the knots of a spline.
    n_knots
        Intervals of the spline on [0, cutoff].
    """

    cutoff: float
    n_bessel: int = 8
    envelope_power: int = 6
    mode: RadialMode = "table"
    n_knots: int = DEFAULT_KNOTS


def bessel(x: Tensor, n_bessel: int) -> Tensor:
    """Bessel basis sin(nπx) / (√8 x), n = 1 … n_bessel, of reduced distances x = r / cutoff (E,): (E, n_bessel).

    Finite at x = 0 (Gasteiger et al. 2020, DimeNet, eq. 7, in another normalisation: of unit mean square at
    x = 1/4, where bonds are; a larger one makes the network steeper than a table can follow).
    """
    n = torch.arange(1, n_bessel + 1, dtype=x.dtype, device=x.device)
    return torch.sinc(x[:, None] * n) * (n * (math.pi / math.sqrt(8.0)))


def envelope(x: Tensor, p: int) -> Tensor:
    """Polynomial cutoff of reduced distances, (E,); C² at x = 1 (Gasteiger et al. 2020, DimeNet, eq. 8)."""
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    value = 1.0 - x**p * (a - x * (b - x * c))
    return torch.where(x >= 1.0, torch.zeros_like(x), value)  # in this order NaN stays NaN
