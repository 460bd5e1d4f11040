"""Training on one fidelity: the baseline, its ceiling and its floor."""

from __future__ import annotations

from typing import ClassVar

from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.strategies.base import Role, Strategy
from mfbench.strategies.fit_context import FitContext


class SingleFidelity(Strategy):
    """Train on the HF frames alone, from random weights also where other arms start from a checkpoint."""

    name: ClassVar[str] = "single_fidelity"
    summary: ClassVar[str] = "high-fidelity labels only: what every other arm has to beat"
    uses_low: ClassVar[bool] = False
    role: ClassVar[Role] = "reference"
    position: ClassVar[int] = 10
    colour: ClassVar[str] = "#000000"
    marker: ClassVar[str] = "o"
    line: ClassVar[str] = "-"

    def _fit(self, run: FitContext) -> Potential:
        high = run.data.high
        core = run.core([high], from_scratch=True)
        run.train(
            core,
            high,
            {high: run.data.train[high]},
            run.data.labels,
            run.budget,
            validation=run.data.validation,
        )
        return Potential(self.name, [core], {high: (Component(0, high),)})


class SingleFidelityAll(SingleFidelity):
    """The same on all HF labels that the task has: the ceiling."""

    name: ClassVar[str] = "single_fidelity_all"
    summary: ClassVar[str] = "the ceiling: single fidelity on every high-fidelity label of the task"
    needs_all_high: ClassVar[bool] = True
    role: ClassVar[Role] = "ceiling"
    position: ClassVar[int] = 100
    colour: ClassVar[str] = "#808080"
    marker: ClassVar[str] = "h"
    line: ClassVar[str] = "--"


class LowFidelity(Strategy):
    """Train on LF alone and fit only the HF reference energies: the floor."""

    name: ClassVar[str] = "low_fidelity"
    summary: ClassVar[str] = "the floor: a low-fidelity model with reference energies refitted to high fidelity"
    uses_every_low: ClassVar[bool] = False
    shares_low_stage: ClassVar[bool] = True
    role: ClassVar[Role] = "floor"
    position: ClassVar[int] = 90
    colour: ClassVar[str] = "#808080"
    marker: ClassVar[str] = "<"
    line: ClassVar[str] = ":"

    def _fit(self, run: FitContext) -> Potential:
        low, high = run.data.low[-1], run.data.high
        core = run.core([low, high])
        run.train(core, low, {low: run.data.train[low]}, run.data.labels, run.budget, share=True)
        core.set_scale(high, core.scale_of(low))  # the network is the LF one; only E0 differs
        run.refit_reference(core, high, start=low)
        return Potential(self.name, [core], {low: (Component(0, low),), high: (Component(0, high),)})
