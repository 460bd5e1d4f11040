"""Transfer learning: pre-train on LF, then go on with HF; all weights, or a frozen trunk."""

from __future__ import annotations

from typing import ClassVar

from mfbench.mfcore.core import READOUT
from mfbench.strategies.fine_tuning import FineTuning


class Transfer(FineTuning):
    """Fine-tune all weights."""

    name: ClassVar[str] = "transfer"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune all weights on high fidelity"
    position: ClassVar[int] = 40
    marker: ClassVar[str] = "^"
    line: ClassVar[str] = "-"


class TransferFrozen(FineTuning):
    """Fine-tune the readout; the trunk stays as LF made it."""

    name: ClassVar[str] = "transfer_frozen"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune the readout only"
    position: ClassVar[int] = 50
    marker: ClassVar[str] = "v"
    line: ClassVar[str] = "--"
    trainable: ClassVar[tuple[str, ...] | None] = (READOUT,)
