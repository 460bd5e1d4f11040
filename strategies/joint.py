"""Training on all fidelities at once; the two joint arms differ in how the fidelity enters the network."""

from __future__ import annotations

from typing import Any, ClassVar

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
            training=self.sampling(run),
        )
        return Potential(self.name, [core], {f: (Component(0, f),) for f in run.data.fidelities})

    def sampling(self, run: FitContext) -> dict[str, Any]:
        """Training settings on how often frames of a fidelity come, if other than those of all arms."""
        return {}
