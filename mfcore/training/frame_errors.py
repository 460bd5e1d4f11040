"""Errors of a stage's present weights, frame by frame, on the frames that it is selected on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.core import Core, CoreOutput
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.training.config import LossConfig
from mfbench.mfcore.training.loss import elementwise
from mfbench.mfcore.training.selection import FrameErrors


def frame_errors(
    core: Core,
    batches: Sequence[Batch],
    low: Sequence[Batch],
    predict: Callable[[Batch], CoreOutput],
    target: Callable[[Batch], Tensor],
    loss: LossConfig,
) -> FrameErrors:
    """Errors of a core's answers; infinite where one is not finite.

    Parameters
    ----------
    core
        The network.
    batches
        Validation frames, on the core's device.
    low
        The same frames with the forces of the cheaper level, to be answered for it; empty where that is not asked.
    predict
        Energies, forces and stress of a batch, as far as it has labels.
    target
        Energies less reference energies of a batch, (B,) eV.
    loss
        Forms of the terms.
    """
    energy, forces, stress, fractions = [], [], [], []
    with torch.no_grad():
        for batch in batches:
            output = predict(batch)
            energy.append(_missing(batch.energy, (output.energy - target(batch)).double() / batch.n_atoms))
            forces.append(_of_forces(output, batch, loss))
            stress.append(_of_stress(output, batch, loss))
            counts = batch.n_atoms.new_zeros(batch.n_frames, len(core.species))
            ones = torch.ones_like(batch.species)
            counts.index_put_((batch.frame, batch.species), ones, accumulate=True)
            fractions.append((counts / batch.n_atoms[:, None]).double())
        low_forces = [_of_forces(predict(batch), batch, loss) for batch in low]
    n_frames = sum(batch.n_frames for batch in batches)
    return FrameErrors(
        _joined(energy),
        _joined(forces),
        _joined(stress),
        _joined(fractions),
        _joined(low_forces) if low_forces else np.full(n_frames, np.nan),
    )


def _joined(parts: Sequence[Tensor]) -> np.ndarray:
    return torch.cat(list(parts)).cpu().numpy()


def _missing(label: Tensor, error: Tensor) -> Tensor:
    """NaN where there is no label, infinite where there is one and the answer is not finite."""
    error = torch.where(torch.isfinite(error), error, torch.full_like(error, torch.inf))
    return torch.where(torch.isfinite(label), error, torch.full_like(error, torch.nan))


def _of_forces(output: CoreOutput, batch: Batch, loss: LossConfig) -> Tensor:
    """Mean loss of the force components of each frame, (B,)."""
    if output.forces is None:
        return torch.full_like(batch.energy, torch.nan)
    values = elementwise(loss.forces, (output.forces - batch.forces).double(), loss.huber_delta).mean(1)
    total = torch.zeros_like(batch.energy).index_add_(0, batch.frame, _missing(batch.forces.sum(1), values))
    return total / batch.n_atoms


def _of_stress(output: CoreOutput, batch: Batch, loss: LossConfig) -> Tensor:
    """Mean loss of the stress components of each frame, (B,)."""
    if output.stress is None:
        return torch.full_like(batch.energy, torch.nan)
    values = elementwise(loss.stress, (output.stress - batch.stress).double(), loss.huber_delta).mean((1, 2))
    return _missing(batch.stress.sum((1, 2)), values)
