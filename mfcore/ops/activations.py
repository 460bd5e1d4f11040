"""Activations of the node update and the readout."""

from __future__ import annotations

import torch
from torch import Tensor

# second-moment normalisation of the activations under a unit normal input, as e3nn.math.normalize2mom
GATE_SCALE = 1.6791767675
PSEUDOSCALAR_SCALE = 1.5927869


def silu(x: Tensor) -> Tensor:
    """SiLU scaled so that a unit-variance input keeps its second moment."""
    return torch.nn.functional.silu(x) * GATE_SCALE
