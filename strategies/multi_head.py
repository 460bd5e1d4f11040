"""Joint training of a shared trunk with one readout per fidelity."""

from __future__ import annotations

from typing import ClassVar

from mfbench.mfcore.core import Conditioning
from mfbench.strategies.joint import JointStrategy


class MultiHead(JointStrategy):
    """The trunk does not know the fidelity; only the readouts differ."""

    name: ClassVar[str] = "multi_head"
    summary: ClassVar[str] = "low and high fidelity jointly, shared trunk, one readout per fidelity"
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("heads",)
    position: ClassVar[int] = 30
    colour: ClassVar[str] = "#E69F00"
    marker: ClassVar[str] = "D"
    line: ClassVar[str] = "-"
    conditioning: ClassVar[Conditioning] = "heads"
