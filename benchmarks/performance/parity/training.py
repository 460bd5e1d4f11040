"""One training loop for every contender, so that passes, batches, loss, schedule and averaging are the same."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Training

_EVALUATION_FRAMES = 50

#: Told (epoch, epochs, validation force MAE in meV/Å).
Report = Callable[[int, int, float], None]


class Diverged(RuntimeError):
    """The loss is not a finite number."""


@dataclass
class Outcome:
    """Errors and costs of a training.

    Attributes
    ----------
    validation, test
        Errors of the selected weights, as :func:`errors` names them.
    history
        (epochs done, validation force MAE in meV/Å) of each check.
    """

    steps: int = 0
    train_wall_s: float = 0.0
    train_cpu_s: float = 0.0
    best_epoch: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class _Part:
    """Frames of one purpose, as graphs and as label tensors."""

    batcher: Batcher
    labels: Labelled
    energies: Tensor
    n_atoms: Tensor
    forces: list[Tensor]

    @classmethod
    def of(cls, contender: Contender, labels: Labelled) -> _Part:
        return cls(
            batcher=contender.prepare(labels.frames),
            labels=labels,
            energies=torch.tensor(np.asarray(labels.energies), dtype=torch.float64),
            n_atoms=torch.tensor([len(a) for a in labels.frames], dtype=torch.float64),
            forces=[torch.tensor(f, dtype=torch.float32) for f in labels.forces],
        )


def rate_factor(step: int, n_steps: int, training: Training) -> float:
    """Learning rate of a step as a share of the largest: linear warm-up, then a cosine."""
    warmup = max(1, round(training.warmup * n_steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, n_steps - warmup)
    return training.final_rate + (1 - training.final_rate) * 0.5 * (1 + math.cos(math.pi * done))


def errors(predicted: Sequence[tuple[np.ndarray, np.ndarray]], labels: Labelled) -> dict[str, float]:
    """Errors over frames; energies are compared in float64.

    Parameters
    ----------
    predicted
        By batch, in the order of the frames: energies (B,) eV and forces (A, 3) eV/Å.
    labels
        The frames with their labels.
    """
    n_atoms = np.array([len(a) for a in labels.frames])
    energy = 1000 * (np.concatenate([e for e, _ in predicted]) - labels.energies) / n_atoms
    force = 1000 * (np.concatenate([f for _, f in predicted]) - np.concatenate(labels.forces))
    return {
        "energy_mae_mev_per_atom": float(np.abs(energy).mean()),
        "energy_rmse_mev_per_atom": float(np.sqrt((energy**2).mean())),
        "force_mae_mev_per_A": float(np.abs(force).mean()),
        "force_rmse_mev_per_A": float(np.sqrt((force**2).mean())),
    }


def _evaluate(contender: Contender, part: _Part) -> dict[str, float]:
    predicted = []
    for start in range(0, len(part.labels), _EVALUATION_FRAMES):
        numbers = range(start, min(start + _EVALUATION_FRAMES, len(part.labels)))
        energy, force = contender.energy_forces(part.batcher(numbers), training=False)
        predicted.append((energy.detach().double().numpy(), force.detach().double().numpy()))
    return errors(predicted, part.labels)


def _loss(contender: Contender, part: _Part, numbers: list[int], training: Training) -> Tensor:
    energy, force = contender.energy_forces(part.batcher(numbers), training=True)
    per_atom = (energy.double() - part.energies[numbers]) / part.n_atoms[numbers]
    difference = force - torch.cat([part.forces[n] for n in numbers])
    return training.energy_weight * per_atom.square().mean() + training.force_weight * difference.square().mean()


class _Average:
    """Exponential moving average of weights, with a shorter memory in the first steps."""

    def __init__(self, parameters: list[torch.nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values = [p.detach().clone() for p in parameters]

    def update(self, step: int) -> None:
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], share)

    def swap(self) -> None:
        """Exchange the average and the weights."""
        with torch.no_grad():
            for value, parameter in zip(self.values, self.parameters, strict=True):
                kept = parameter.detach().clone()
                parameter.copy_(value)
                value.copy_(kept)


def train(
    contender: Contender, data: ParityData, training: Training, learning_rate: float, seed: int, report: Report
) -> Outcome:
    """Train with Adam, select averaged weights by validation force MAE, and test them.

    Parameters
    ----------
    contender
        With random weights; ends with the selected ones.
    data
        Frames.
    training
        The recipe.
    learning_rate
        The largest.
    seed
        Of the order of the frames.
    report
        Told every validation.

    Raises
    ------
    Diverged
        If the loss is no longer a finite number.
    """
    parts = {name: _Part.of(contender, getattr(data, name)) for name in ("training", "validation", "test")}
    parameters = [p for p in contender.module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, amsgrad=training.amsgrad)
    average = _Average(parameters, training.ema)
    generator = torch.Generator().manual_seed(seed)
    per_epoch = math.ceil(len(data.training) / training.batch_frames)
    n_steps = per_epoch * training.epochs
    check_epochs = {math.ceil(training.epochs * (k + 1) / training.checks) for k in range(training.checks)}
    outcome, best, selected = Outcome(), math.inf, [v.clone() for v in average.values]
    for epoch in range(1, training.epochs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        order: Any = torch.randperm(len(data.training), generator=generator).split(training.batch_frames)
        for numbers in order:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * rate_factor(outcome.steps, n_steps, training)
            optimizer.zero_grad(set_to_none=True)
            loss = _loss(contender, parts["training"], numbers.tolist(), training)
            if not math.isfinite(float(loss.detach())):
                raise Diverged(f"loss {float(loss.detach())} in epoch {epoch}")
            loss.backward(inputs=parameters)
            torch.nn.utils.clip_grad_norm_(parameters, training.clip_norm)
            optimizer.step()
            outcome.steps += 1
            average.update(outcome.steps)
        outcome.train_wall_s += time.perf_counter() - wall
        outcome.train_cpu_s += time.process_time() - cpu
        if epoch in check_epochs:
            average.swap()
            found = _evaluate(contender, parts["validation"])
            average.swap()
            score = found["force_mae_mev_per_A"]
            outcome.history.append((epoch, score))
            report(epoch, training.epochs, score)
            if score < best:
                best, outcome.best_epoch, outcome.validation = score, epoch, found
                selected = [v.clone() for v in average.values]
    with torch.no_grad():
        for parameter, value in zip(parameters, selected, strict=True):
            parameter.copy_(value)
    outcome.test = _evaluate(contender, parts["test"])
    return outcome
