"""Training on all fidelities at once; the two joint arms differ in how the fidelity enters the network."""

from __future__ import annotations

from typing import ClassVar

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.strategies.base import Strategy
from mfbench.strategies.fit_context import FitContext


class JointStrategy(Strategy):
    """LF and HF frames in the same batches, shared weights, one answer per fidelity."""

    conditioning: ClassVar[Conditioning]

    def _fit(self, run: FitContext) -> Potential:
        core = run.core(run.data.fidelities, self.conditioning)
        run.train(
            core,
            "joint",
            run.data.train,
            run.data.labels,
            run.budget,
            validation=run.data.validation,
            high=run.data.high,
        )
        return Potential(self.name, [core], {f: (Component(0, f),) for f in run.data.fidelities})
