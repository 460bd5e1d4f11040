"""Transfer learning: pre-train on LF, then go on with HF; all weights, a frozen trunk, or with LF replay."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from mfbench.mfcore.core import READOUT, Conditioning, Core
from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.strategies.base import Strategy
from mfbench.strategies.checks import check_replayed
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.settings import StrategySettings


class TransferSettings(StrategySettings):
    """Options of the transfer arms."""

    pretrain_share: float = Field(0.6, gt=0, lt=1, description="Share of the budget spent on the LF stage.")
    finetune_learning_rate: float = Field(
        0.1, gt=0, le=1, description="Largest learning rate of fine-tuning, as a share of the LF stage's."
    )


class ReplaySettings(TransferSettings):
    """Options of replay."""

    replay_ratio: float = Field(1.0, gt=0, description="LF frames replayed per HF frame in an epoch.")


class Transfer(Strategy):
    """Pre-train on LF, refit the reference energies on what is left, fine-tune all weights on HF."""

    name: ClassVar[str] = "transfer"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune all weights on high fidelity"
    shares_low_stage: ClassVar[bool] = True
    position: ClassVar[int] = 40
    colour: ClassVar[str] = "#0072B2"
    marker: ClassVar[str] = "^"
    line: ClassVar[str] = "-"
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
        )
        return Potential(self.name, [core], {high: (Component(0, high),)})

    def pretrained(self, run: FitContext) -> Core:
        """A core trained on each LF in turn, with HF reference energies in place."""
        assert isinstance(self.settings, TransferSettings)
        core = run.core(run.data.fidelities)
        budget = run.budget.fraction(self.settings.pretrain_share / len(run.data.low))
        for low in run.data.low:
            run.train(core, low, {low: run.data.train[low]}, run.data.labels, budget, share=True)
        # one network for both: its output keeps its unit
        core.set_scale(run.data.high, core.scale_of(run.data.low[-1]))
        if run.policy == "residual":
            run.refit_reference(core, run.data.high, start=run.data.low[-1])
        return core

    def finetuning(self) -> dict[str, Any]:
        """Training settings of the second stage that differ from the first's."""
        assert isinstance(self.settings, TransferSettings)
        return {"learning_rate": self.settings.training.learning_rate * self.settings.finetune_learning_rate}


class TransferFrozen(Transfer):
    """The same with the trunk frozen: only the readout learns HF."""

    name: ClassVar[str] = "transfer_frozen"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune the readout only"
    position: ClassVar[int] = 50
    colour: ClassVar[str] = "#0072B2"
    marker: ClassVar[str] = "v"
    line: ClassVar[str] = "--"
    trainable: ClassVar[tuple[str, ...] | None] = (READOUT,)


class TransferReplay(Transfer):
    """Fine-tune on HF while replaying LF frames through a head of their own, against forgetting."""

    name: ClassVar[str] = "transfer_replay"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune on high fidelity with replay of low fidelity"
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("heads",)
    position: ClassVar[int] = 60
    colour: ClassVar[str] = "#56B4E9"
    marker: ClassVar[str] = "P"
    line: ClassVar[str] = "-."
    Settings: ClassVar[type[StrategySettings]] = ReplaySettings

    def _fit(self, run: FitContext) -> Potential:
        assert isinstance(self.settings, ReplaySettings)
        low, high = run.data.low[-1], run.data.high
        core = self.pretrained(run).expand_heads()
        n_replay = min(len(run.data.train[low]), max(1, round(self.settings.replay_ratio * len(run.data.train[high]))))
        chosen = np.random.default_rng([run.seed, n_replay]).permutation(len(run.data.train[low]))[:n_replay]
        run.train(
            core,
            f"{high} (fine-tuning with replay)",
            {low: [run.data.train[low][i] for i in sorted(chosen)], high: run.data.train[high]},
            run.data.labels,
            run.left,
            validation=run.data.validation,
            high=high,
            training=self.finetuning(),
        )
        check_replayed(run.ledger.stages[-1], low, len(run.data.train[high]) + n_replay)
        return Potential(self.name, [core], {low: (Component(0, low),), high: (Component(0, high),)})
