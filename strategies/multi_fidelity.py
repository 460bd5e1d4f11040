"""Joint training of a fidelity-conditioned network (Kim et al., JACS 2025, arXiv 2409.07947)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mfbench.mfcore.cores.equivariant.model import Conditioning
from mfbench.strategies.base import Strategy
from mfbench.strategies.joint import JointStrategy


class MultiFidelity(JointStrategy):
    """A one-hot of the fidelity enters the scalar channels of every self-interaction and of the readout."""

    name: ClassVar[str] = "multi_fidelity"
    summary: ClassVar[str] = "low and high fidelity jointly, one network conditioned on the fidelity"
    conditioning: ClassVar[Conditioning] = "one_hot"


def multi_fidelity(settings: Mapping[str, Any] | None = None) -> Strategy:
    """Entry point."""
    return MultiFidelity(settings)
