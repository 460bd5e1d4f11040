"""The optimisers that settings name."""

from __future__ import annotations

from typing import Any

import torch

from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.soap import SOAP


def optimizer_of(config: TrainingConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Make the optimiser of a stage.

    Parameters
    ----------
    config
        Names it.
    groups
        Parameters with their `weight_decay`; other keys are the caller's.
    """
    if config.optimizer == "soap":
        return SOAP(groups, lr=config.learning_rate)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, amsgrad=config.amsgrad, fused=True)
