"""Checks of a training stage by itself: each of these faults was once a silent one in a public code."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.errors import SelfCheckError
from mfbench.mfcore.output_checks import checked_output
from mfbench.mfcore.training.config import LossConfig
from mfbench.mfcore.training.stage import RunningStage

_FRAMES = 4
_RELATIVE = 1e-7
"""Of the gradient's norm: the same batch is evaluated twice by the same code, so that no effect is exactly none."""


def check_high_counts(trainer: RunningStage) -> None:
    """Refuse a stage in which the labels of the fidelity that is selected on do not move the weights.

    The gradient of a batch of both fidelities must change when the weight of the target fidelity is doubled.

    Raises
    ------
    SelfCheckError
        If it does not, or if the core gives no finite numbers to start with.
    """
    loss, high = trainer.config.loss, trainer.task.high
    doubled = loss.fidelity_weights | {high: 2.0 * loss.fidelity_weights.get(high, 1.0)}
    batch = trainer.store.batch(np.concatenate([trainer.high[:_FRAMES], trainer.low[:_FRAMES]]))

    def gradient(config: LossConfig) -> Tensor:
        value = trainer.loss(batch, training=True, config=config)
        check_finite_start(trainer, float(value.detach()))
        if not value.requires_grad:
            return torch.zeros(1)
        found = torch.autograd.grad(value, trainer.parameters, allow_unused=True)
        return torch.cat([g.detach().flatten() for g in found if g is not None] or [torch.zeros(1)]).double()

    before, after = gradient(loss), gradient(loss.model_copy(update={"fidelity_weights": doubled}))
    if float((after - before).norm()) <= _RELATIVE * float(before.norm()):
        raise SelfCheckError(
            f"stage '{trainer.task.name}': the labels of '{high}' have no effect on the gradient; "
            f"loss.fidelity_weights is {dict(loss.fidelity_weights)}, its labels are "
            f"{trainer.task.labels.get(high, '?')}."
        )


def check_finite_start(trainer: RunningStage, loss: float) -> None:
    """Refuse a stage whose loss is not finite though no step was made: a lower learning rate would not mend it.

    Raises
    ------
    SelfCheckError
        Names the core.
    """
    if not math.isfinite(loss):
        raise SelfCheckError(
            f"stage '{trainer.task.name}': core '{trainer.core.name}' gives no finite numbers before any step "
            f"(its loss is {loss})."
        )


def check_all_seen(trainer: RunningStage) -> None:
    """Refuse a stage that has gone through an epoch and has never seen a frame of one of its fidelities.

    Raises
    ------
    SelfCheckError
        Names the fidelity.
    """
    seen = trainer.state.stage.frames_seen
    if trainer.state.epoch < 1:
        return
    for fidelity in trainer.task.frames:
        if not seen.get(fidelity):
            raise SelfCheckError(
                f"stage '{trainer.task.name}': no frame of '{fidelity}' was trained on in "
                f"{trainer.state.stage.steps} steps, though the stage is meant to have some."
            )


def validation_energy_mae(trainer: RunningStage) -> float | None:
    """Mean absolute energy error of the present weights on the validation frames, eV/atom; None without energies."""
    if not len(trainer.validation):
        return None
    errors: list[Tensor] = []
    with torch.no_grad():
        for group in trainer.validation_groups():
            batch = trainer.validation.batch(group).to(trainer.core.device, trainer.dtype)
            output = checked_output(trainer.core.name, trainer.core(batch, forces=False), batch, False, False)
            error = (output.energy - trainer.target(batch)).abs().double() / batch.n_atoms
            errors.append(error[torch.isfinite(batch.energy)].cpu())
    found = torch.cat(errors) if errors else torch.zeros(0)
    return float(found.mean()) if len(found) else None
