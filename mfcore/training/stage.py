"""A training stage: its task, its state, and the part of its trainer that checks look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from mfbench.mfcore.core import Core
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Stage
from mfbench.mfcore.training.config import LossConfig, TrainingConfig
from mfbench.mfcore.training.updates import Changes


@dataclass
class StageTask:
    """The frames, labels and parameters of one stage.

    Attributes
    ----------
    name
        For the ledger, progress and checkpoints.
    frames
        Training frames by fidelity.
    labels
        Labels that may be learned, by fidelity.
    high
        The fidelity whose frames are repeated to `high_fidelity_fraction` in a joint stage, and that is validated on.
    validation
        Frames with labels of `high` to select on; empty takes the last weights.
    trainable
        Groups of parameters that may change (:meth:`mfbench.mfcore.core.Core.parameter_groups`); None is all.
    changes
        How they may change.
    free_e0
        Whether reference energies may change too; see `TrainingConfig.free_e0`.
    """

    name: str
    frames: Mapping[str, Sequence[Atoms]]
    labels: Mapping[str, LabelSet]
    high: str
    validation: Sequence[Atoms] = ()
    trainable: tuple[str, ...] | None = None
    changes: Changes = field(default_factory=Changes)
    free_e0: bool = False


@dataclass
class StageState:
    """The state of a stage that a checkpoint holds beside tensors.

    Attributes
    ----------
    stage
        Its costs so far.
    epoch, position, checks, checked
        Where it stands: of the frames, of the checks, and the atom gradients at the last of these.
    best, best_frames, stale
        Lowest mean score so far, its frames' scores, and how many checks came after it.
    averaged
        Checks whose weights are in the average.
    scores
        Mean score of each check.
    """

    stage: Stage
    epoch: int = 0
    position: int = 0
    checks: int = 0
    checked: float = -1.0
    best: float = math.inf
    best_frames: list[float] = field(default_factory=list)
    stale: int = 0
    averaged: int = 0
    scores: list[float] = field(default_factory=list)


class RunningStage(Protocol):
    """A stage that is being trained; see :class:`mfbench.mfcore.training.trainer.StageTrainer`."""

    core: Core
    task: StageTask
    config: TrainingConfig
    state: StageState
    store: GraphStore
    validation: GraphStore
    high: np.ndarray
    low: np.ndarray
    parameters: list[torch.nn.Parameter]
    dtype: torch.dtype

    def loss(self, batch: Batch, training: bool, config: LossConfig | None = None) -> Tensor:
        """Loss of a batch, by the stage's weights or others."""

    def target(self, batch: Batch) -> Tensor:
        """Energies less reference energies, (B,) eV."""

    def validation_groups(self) -> list[np.ndarray]:
        """Indices of the validation frames, in groups that are evaluated at once."""
