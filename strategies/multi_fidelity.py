"""Joint training of a fidelity-conditioned network (Kim et al., JACS 2025, arXiv 2409.07947)."""

from __future__ import annotations

from typing import ClassVar

from mfbench.mfcore.core import Conditioning
from mfbench.strategies.joint import JointStrategy


class MultiFidelity(JointStrategy):
    """A one-hot of the fidelity enters the scalar channels of every self-interaction and of the readout."""

    name: ClassVar[str] = "multi_fidelity"
    summary: ClassVar[str] = "low and high fidelity jointly, one network conditioned on the fidelity"
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("one_hot",)
    position: ClassVar[int] = 20
    colour: ClassVar[str] = "#D55E00"
    marker: ClassVar[str] = "s"
    line: ClassVar[str] = "-"
    conditioning: ClassVar[Conditioning] = "one_hot"
