"""A checkpoint as it is, with reference energies of the target level: what fine-tuning has to beat."""

from __future__ import annotations

from typing import ClassVar

from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.training.budget import Stage
from mfbench.strategies.base import Strategy
from mfbench.strategies.fit_context import FitContext

ENERGY_COST = 1.0 / 6.0
"""Atom gradients of the energy of an atom alone."""


class Pretrained(Strategy):
    """Refit the reference energies of a checkpoint on the HF labels, and change nothing else."""

    name: ClassVar[str] = "pretrained"
    summary: ClassVar[str] = "a checkpoint untrained, with reference energies refitted to high fidelity"
    default_e0: ClassVar[ReferencePolicy] = "residual"
    only_low_stage: ClassVar[bool] = True
    needs_checkpoint: ClassVar[bool] = True
    trains: ClassVar[bool] = False
    usual: ClassVar[bool] = False
    usual_from_checkpoint: ClassVar[bool] = True
    position: ClassVar[int] = 38
    colour: ClassVar[str] = "#CC79A7"
    marker: ClassVar[str] = "d"
    line: ClassVar[str] = ":"

    def _fit(self, run: FitContext) -> Potential:
        high = run.data.high
        core = run.core([high])
        cost = min(ENERGY_COST * sum(map(len, run.data.train[high])), run.budget.atom_gradients)
        run.ledger.stages.append(Stage(f"{high} (reference energies)", cost))
        return Potential(self.name, [core], {high: (Component(0, high),)})
