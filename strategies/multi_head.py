"""Joint training of a shared trunk with one readout per fidelity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mfbench.mfcore.cores.equivariant.model import Conditioning
from mfbench.strategies.base import Strategy
from mfbench.strategies.joint import JointStrategy


class MultiHead(JointStrategy):
    """The trunk does not know the fidelity; only the readouts differ."""

    name: ClassVar[str] = "multi_head"
    summary: ClassVar[str] = "low and high fidelity jointly, shared trunk, one readout per fidelity"
    conditioning: ClassVar[Conditioning] = "heads"


def multi_head(settings: Mapping[str, Any] | None = None) -> Strategy:
    """Entry point."""
    return MultiHead(settings)
