"""Changes over the budget of a stage: the learning rate, and the weight of energies in the loss."""

from __future__ import annotations

import math

from mfbench.mfcore.training.config import LossConfig, TrainingConfig


def learning_rate(config: TrainingConfig, done: float) -> float:
    """The learning rate when a share `done` of the budget is spent: it rises linearly, then falls or stays."""
    if done < config.warmup:
        return config.learning_rate * (done + 0.1 * config.warmup) / (1.1 * config.warmup)
    done = (done - config.warmup) / (1 - config.warmup)
    low = config.final_learning_rate
    factor = {
        "constant": 1.0,
        "linear": 1 - (1 - low) * done,
        "cosine": low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done)),
    }[config.decay]
    return config.learning_rate * factor


def loss_at(config: LossConfig, done: float) -> LossConfig:
    """The loss when a share `done` of the budget is spent: the weight of energies moves geometrically to its last."""
    if config.final_energy_weight is None:
        return config
    change = config.final_energy_weight / config.energy_weight
    return config.model_copy(update={"energy_weight": config.energy_weight * change ** min(1.0, done)})
