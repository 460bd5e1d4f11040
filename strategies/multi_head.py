"""Joint training of a shared trunk with one readout per fidelity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mfcore.nn.core import Conditioning
from strategies.base import Strategy
from strategies.joint import JointStrategy


class MultiHead(JointStrategy):
    """The trunk does not know the fidelity; only the readouts differ."""

    name: ClassVar[str] = "multi_head"
    summary: ClassVar[str] = "low and high fidelity jointly, shared trunk, one readout per fidelity"
    conditioning: ClassVar[Conditioning] = "heads"


def multi_head(settings: Mapping[str, Any] | None = None) -> Strategy:
    """Entry point."""
    return MultiHead(settings)
