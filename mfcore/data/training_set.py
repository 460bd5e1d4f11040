"""Training set: the frames and labels that a strategy is given to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ase import Atoms

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import LabelSet


@dataclass(frozen=True)
class TrainingSet:
    """Frames by fidelity, and the HF frames that a model is selected on.

    Attributes
    ----------
    fidelities
        Names, cheapest first; the last one is the target (HF).
    train
        Frames to learn each fidelity from. A frame may carry labels of further fidelities (a Δ-learning
        arm takes the LF labels of the HF frames from there); only `labels[fidelity]` may be learned.
    labels
        The labels of each fidelity that training may use.
    validation
        HF-labelled frames for model selection; never trained on.
    """

    fidelities: tuple[str, ...]
    train: Mapping[str, Sequence[Atoms]]
    labels: Mapping[str, LabelSet]
    validation: Sequence[Atoms]

    def __post_init__(self) -> None:
        if len(set(self.fidelities)) != len(self.fidelities):
            raise DataError(f"two fidelities have the same name: {', '.join(self.fidelities)}.")
        for name in self.fidelities:
            if name not in self.train or name not in self.labels:
                raise DataError(f"fidelity '{name}' has no training frames or no label set.")
        if not self.train[self.high]:
            raise DataError(f"no training frame has labels of the target fidelity '{self.high}'.")
        if not self.validation:
            raise DataError(
                f"no validation frame is left for the target fidelity '{self.high}'.",
                hint="Give more high-fidelity frames or groups: a model is selected on held-out ones.",
            )

    @property
    def high(self) -> str:
        """Name of the target fidelity."""
        return self.fidelities[-1]

    @property
    def low(self) -> tuple[str, ...]:
        """Names of the cheaper fidelities, cheapest first."""
        return self.fidelities[:-1]

    def only(self, *fidelities: str) -> TrainingSet:
        """The same set restricted to some fidelities (validation unchanged)."""
        return TrainingSet(
            fidelities,
            {f: self.train[f] for f in fidelities},
            {f: self.labels[f] for f in fidelities},
            self.validation,
        )
