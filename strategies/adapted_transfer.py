"""Transfer learning that changes weights only so far: by low rank, near the start, or less in early layers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mfbench.mfcore.training.updates import Changes
from mfbench.strategies.fine_tuning import FineTuning, TransferSettings
from mfbench.strategies.settings import StrategySettings


class LowRankSettings(TransferSettings):
    """Options of low-rank adapters."""

    rank: int = Field(4, ge=1, le=1024, description="Rank of what is added to each matrix.")
    finetune_learning_rate: float = Field(
        0.3, gt=0, le=1, description="Largest learning rate of the adapters, as a share of the LF stage's."
    )


class TransferLoRA(FineTuning):
    """Pre-train on LF, fine-tune low-rank additions to the matrices (Hu et al., ICLR 2022, arXiv 2106.09685)."""

    name: ClassVar[str] = "transfer_lora"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune low-rank additions to the matrices"
    usual: ClassVar[bool] = False
    usual_from_checkpoint: ClassVar[bool] = True
    position: ClassVar[int] = 52
    marker: ClassVar[str] = "<"
    line: ClassVar[str] = ":"
    Settings: ClassVar[type[StrategySettings]] = LowRankSettings

    def changes(self) -> Changes:
        """Products of two thin matrices."""
        assert isinstance(self.settings, LowRankSettings)
        return Changes(rank=self.settings.rank)


class StartingPointSettings(TransferSettings):
    """Options of the decay towards the pre-trained weights."""

    anchor: float = Field(1.0, gt=0, description="Decay towards the pre-trained weights, per unit of learning rate.")


class TransferL2SP(FineTuning):
    """Pre-train on LF, fine-tune with a decay towards where it starts (Li et al., ICML 2018, arXiv 1802.01483)."""

    name: ClassVar[str] = "transfer_l2sp"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune with a decay towards the pre-trained weights"
    usual: ClassVar[bool] = False
    position: ClassVar[int] = 54
    marker: ClassVar[str] = ">"
    line: ClassVar[str] = "-."
    Settings: ClassVar[type[StrategySettings]] = StartingPointSettings

    def changes(self) -> Changes:
        """Held near the start."""
        assert isinstance(self.settings, StartingPointSettings)
        return Changes(anchor=self.settings.anchor)


class GradedSettings(TransferSettings):
    """Options of graded learning rates."""

    layer_decay: float = Field(
        0.4, gt=0, le=1, description="Learning rate of a layer as a share of that of the next one, towards the readout."
    )


class TransferGraded(FineTuning):
    """Pre-train on LF, fine-tune with rates that fall from the readout to the input (Howard and Ruder, ACL 2018)."""

    name: ClassVar[str] = "transfer_graded"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune with learning rates that fall towards the input"
    usual: ClassVar[bool] = False
    position: ClassVar[int] = 56
    marker: ClassVar[str] = "D"
    line: ClassVar[str] = "--"
    Settings: ClassVar[type[StrategySettings]] = GradedSettings

    def changes(self) -> Changes:
        """Less in early layers."""
        assert isinstance(self.settings, GradedSettings)
        return Changes(layer_decay=self.settings.layer_decay)
