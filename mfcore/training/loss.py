"""Masked losses on energy per atom, force components and stress."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.training.config import LossConfig, LossKind


def elementwise(kind: LossKind, error: Tensor, delta: float) -> Tensor:
    """Loss of each element; Huber is scaled to equal the square error near zero."""
    if kind == "mse":
        return error.square()
    if kind == "mae":
        return error.abs()
    size = error.abs()
    return torch.where(size <= delta, error.square(), delta * (2 * size - delta))


@dataclass(frozen=True)
class LabelCounts:
    """Numbers that means are taken over, where a process has a part of a batch.

    Of the whole batch, divided by the number of processes: the mean of the processes' losses is then that of the batch.
    """

    energies: float
    forces: float
    stress: float

    @classmethod
    def of(cls, batch: Batch, processes: int) -> LabelCounts:
        """Count the labels of a whole batch."""
        labels = (batch.energy, batch.forces, batch.stress)
        return cls(*(max(1.0, float(torch.isfinite(label).sum())) / processes for label in labels))


def _masked_mean(
    kind: LossKind, predicted: Tensor, label: Tensor, weight: Tensor | None, delta: float, count: float | None
) -> Tensor:
    """Weighted mean over the labels that exist, or their sum divided by `count`; zero if there is none.

    A missing label is replaced before the difference is taken: a NaN multiplied by zero would still be a
    NaN in the gradient.
    """
    present = torch.isfinite(label)
    error = predicted - torch.where(present, label, predicted.detach())
    values = elementwise(kind, error, delta)
    if weight is not None:
        values = values * weight
    return torch.where(present, values, torch.zeros_like(values)).sum() / (count or present.sum().clamp(min=1))


@lru_cache(maxsize=64)
def _on(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers as a tensor of a device, copied there once and not in every step."""
    with torch.inference_mode(False):  # kept: must not become an inference tensor
        return torch.tensor(numbers, dtype=dtype, device=device)


def loss_of(
    output: CoreOutput,
    batch: Batch,
    target: Tensor,
    names: tuple[str, ...],
    config: LossConfig,
    projection: Tensor | None = None,
    counts: LabelCounts | None = None,
) -> Tensor:
    """Loss of a batch.

    Parameters
    ----------
    output
        Predictions; forces and stress may be None where no label asks for them.
    batch
        Labels, NaN where absent.
    target
        (B,) eV, energies less the reference energies, in the core's dtype; NaN where absent.
    names
        Fidelity names in the order of the batch's index.
    config
        Weights and forms.
    projection
        (B, B) matrix for the errors of the energies per atom, which takes out what is mended otherwise.
    counts
        Numbers that the means are taken over; None: those of the batch.

    Returns
    -------
    Tensor
        Scalar.
    """
    weight = per_atom = per_frame = None
    if config.fidelity_weights:
        numbers = tuple(config.fidelity_weights.get(n, 1.0) for n in names)
        weight = _on(numbers, output.energy.dtype, target.device)[batch.fidelity]
        per_atom, per_frame = weight[batch.frame][:, None].expand(-1, 3), weight[:, None, None].expand(-1, 3, 3)
    atoms = batch.n_atoms.to(output.energy.dtype)
    delta = config.huber_delta
    energy, target = output.energy / atoms, target / atoms
    if projection is not None:
        present = torch.isfinite(target)
        error = energy - torch.where(present, target, energy.detach())
        energy, target = projection @ error, torch.where(present, torch.zeros_like(target), target)
    n_energies, n_forces, n_stress = (None,) * 3 if counts is None else (counts.energies, counts.forces, counts.stress)
    loss = config.energy_weight * _masked_mean(config.energy, energy, target, weight, delta, n_energies)
    if output.forces is not None:
        loss = loss + config.forces_weight * _masked_mean(
            config.forces, output.forces, batch.forces, per_atom, delta, n_forces
        )
    if output.stress is not None:
        loss = loss + config.stress_weight * _masked_mean(
            config.stress, torch.nan_to_num(output.stress), batch.stress, per_frame, delta, n_stress
        )
    return loss
