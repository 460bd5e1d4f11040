"""The two stages of transfer learning: pre-training on LF, and going on with HF."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from mfbench.mfcore.core import Core
from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.training.updates import Changes
from mfbench.strategies.base import Strategy
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.settings import StrategySettings


class TransferSettings(StrategySettings):
    """Options of the transfer arms."""

    pretrain_share: float = Field(0.6, gt=0, lt=1, description="Share of the budget spent on the LF stage.")
    finetune_learning_rate: float = Field(
        0.1, gt=0, le=1, description="Largest learning rate of fine-tuning, as a share of the LF stage's."
    )


class FineTuning(Strategy):
    """Pre-train on LF, refit the reference energies on what is left, fine-tune on HF.

    A checkpoint takes the place of the LF stage, which somebody else has paid; all of the budget is then for HF.

    Attributes
    ----------
    trainable
        Groups of parameters that fine-tuning may change; None: all.
    """

    only_low_stage: ClassVar[bool] = True
    shares_low_stage: ClassVar[bool] = True
    colour: ClassVar[str] = "#0072B2"
    Settings: ClassVar[type[StrategySettings]] = TransferSettings
    default_e0: ClassVar[ReferencePolicy] = "residual"
    trainable: ClassVar[tuple[str, ...] | None] = None

    def _fit(self, run: FitContext) -> Potential:
        high = run.data.high
        core = self.pretrained(run)
        run.train(
            core,
            f"{high} (fine-tuning)",
            {high: run.data.train[high]},
            run.data.labels,
            run.left,
            validation=run.data.validation,
            trainable=self.trainable,
            training=self.finetuning(),
            changes=self.changes(),
        )
        return Potential(self.name, [core], {high: (Component(0, high),)})

    def changes(self) -> Changes:
        """How fine-tuning may change weights: freely."""
        return Changes()

    def pretrained(self, run: FitContext, share: float | None = None) -> Core:
        """A core trained on each LF in turn, with HF reference energies in place; `share` of the budget, if given.

        Or else the checkpoint, as it is.
        """
        assert isinstance(self.settings, TransferSettings)
        if run.starts:
            return run.core((run.data.high,) if self.only_low_stage else run.data.fidelities)
        core = run.core(run.data.fidelities)
        budget = run.budget.fraction((share or self.settings.pretrain_share) / len(run.data.low))
        for low in run.data.low:
            core.set_scale(low, core.scale_of(run.data.low[0]))  # one network for all: its output keeps its unit
            run.train(core, low, {low: run.data.train[low]}, run.data.labels, budget, share=True)
        core.set_scale(run.data.high, core.scale_of(run.data.low[0]))
        if run.policy == "residual":
            run.refit_reference(core, run.data.high, start=run.data.low[-1])
        return core

    def finetuning(self) -> dict[str, Any]:
        """Training settings of the second stage that differ from the first's."""
        assert isinstance(self.settings, TransferSettings)
        return {"learning_rate": self.settings.training.learning_rate * self.settings.finetune_learning_rate}
