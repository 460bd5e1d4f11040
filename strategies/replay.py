"""Transfer learning with replay: LF frames, or what the pre-trained network says of them, beside HF in fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from ase import Atoms
from pydantic import Field

from mfbench.mfcore.core import Conditioning, Core
from mfbench.mfcore.data.frames import drop_labels, set_labels
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.strategies.checks import check_replayed
from mfbench.strategies.fine_tuning import FineTuning, TransferSettings
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.settings import StrategySettings


class ReplaySettings(TransferSettings):
    """Options of replay."""

    replay_ratio: float = Field(1.0, gt=0, description="LF frames replayed per HF frame in an epoch.")


class TransferReplay(FineTuning):
    """Fine-tune on HF while replaying LF frames through a head of their own, against forgetting."""

    name: ClassVar[str] = "transfer_replay"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune on high fidelity with replay of low fidelity"
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("heads",)
    only_low_stage: ClassVar[bool] = False
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
        replayed, labels = self.replayed(core, [run.data.train[low][i] for i in sorted(chosen)], low, run)
        run.train(
            core,
            f"{high} (fine-tuning with replay)",
            {low: replayed, high: run.data.train[high]},
            {**run.data.labels, low: labels},
            run.left,
            validation=run.data.validation,
            high=high,
            training=self.finetuning(),
        )
        check_replayed(run.ledger.stages[-1], low, len(run.data.train[high]) + n_replay)
        return Potential(self.name, [core], {low: (Component(0, low),), high: (Component(0, high),)})

    def replayed(
        self, core: Core, frames: Sequence[Atoms], low: str, run: FitContext
    ) -> tuple[Sequence[Atoms], LabelSet]:
        """Frames as they are replayed, and their labels: those that pre-training saw."""
        return frames, run.data.labels[low]


class TransferPseudoReplay(TransferReplay):
    """The same, but with what the pre-trained network says of the replayed frames in place of their labels.

    For those who have a pre-trained model but not what it was trained on (Li and Hoiem, ECCV 2016, arXiv 1606.09282:
    learning without forgetting).
    """

    name: ClassVar[str] = "transfer_pseudo_replay"
    summary: ClassVar[str] = "pre-train on low fidelity, fine-tune with replay of the pre-trained network's own answers"
    usual: ClassVar[bool] = False
    usual_from_checkpoint: ClassVar[bool] = True
    position: ClassVar[int] = 64
    marker: ClassVar[str] = "X"
    line: ClassVar[str] = ":"

    def replayed(
        self, core: Core, frames: Sequence[Atoms], low: str, run: FitContext
    ) -> tuple[Sequence[Atoms], LabelSet]:
        """Copies of the frames with energies and forces of the network."""
        answers = Potential("replay", [core], {low: (Component(0, low),)}).predict(frames, low)
        assert answers.forces is not None
        copies = [atoms.copy() for atoms in frames]
        for atoms, energy, forces in zip(copies, answers.energies, answers.forces, strict=True):
            drop_labels(atoms, low)
            set_labels(atoms, low, energy=float(energy), forces=forces)
        return copies, LabelSet.parse("EF")
