"""An arm: joint training with heads, then fine-tuning on HF alone."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.strategies import Strategy, StrategySettings
from mfbench.strategies.fit_context import FitContext


class JointThenHighSettings(StrategySettings):
    """Options of the arm."""

    joint_share: float = Field(0.7, gt=0, lt=1, description="Share of the budget spent on joint training.")


class JointThenHigh(Strategy):
    """Train a shared trunk with a head for each fidelity, then all weights on HF."""

    name: ClassVar[str] = "joint_then_high"
    summary: ClassVar[str] = "joint training with heads, then fine-tuning on high fidelity"
    Settings: ClassVar[type[StrategySettings]] = JointThenHighSettings
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("heads",)
    label: ClassVar[str] = "joint, then HF"
    colour: ClassVar[str] = "#7A5195"
    marker: ClassVar[str] = "X"
    position: ClassVar[int] = 35

    def _fit(self, run: FitContext) -> Potential:
        low, high = run.data.low[-1], run.data.high
        core = run.core(run.data.fidelities, "heads")
        budget = run.budget.fraction(self.settings.joint_share)
        run.train(core, "joint", run.data.train, run.data.labels, budget, high=high)
        training = {"learning_rate": 0.1 * self.settings.training.learning_rate}
        frames, validation = {high: run.data.train[high]}, run.data.validation
        run.train(core, high, frames, run.data.labels, run.left, validation=validation, training=training)
        return Potential(self.name, [core], {low: (Component(0, low),), high: (Component(0, high),)})
