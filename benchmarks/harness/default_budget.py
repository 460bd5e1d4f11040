"""Default budgets, for frames of any size: passes over the data within limits, and a least number of steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms

from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.sampler import batch_ends


class DefaultBudget(NamedTuple):
    """The rule by which a budget is chosen where none is given.

    Attributes
    ----------
    passes
        Over the atoms of all frames.
    least, most
        Atom gradients that the passes are held within.
    steps
        Optimiser steps, at least, of all stages of an arm together; it has precedence, since a step of large frames
        costs more.
    """

    passes: float
    least: float
    most: float
    steps: int

    def atom_gradients(self, frames: Sequence[Atoms], training: Iterable[TrainingConfig]) -> float:
        """Return the budget in atom gradients; of several settings, those with the largest steps decide."""
        within = min(max(self.passes * sum(map(len, frames)), self.least), self.most)
        return float(max(within, self.steps * max(atoms_per_step(frames, config) for config in training)))

    def __str__(self) -> str:
        return (
            f"{self.passes:g} passes over all atoms, {_power(self.least)} to {_power(self.most)}, and at least "
            f"{self.steps} optimiser steps"
        )


OF_COMPARE = DefaultBudget(50, 3e5, 3e6, 2000)
OF_FIT = DefaultBudget(200, 1e6, 3e7, 8000)


def atoms_per_step(frames: Sequence[Atoms], training: TrainingConfig) -> float:
    """Return the mean number of atoms of a batch of these frames; of batches by edges, that of a frame."""
    sizes = np.array([len(frame) for frame in frames])
    if training.batch_frames is None and training.atoms_per_batch is None:
        return float(sizes.mean())
    order = np.random.default_rng(0).permutation(len(sizes))
    batches = batch_ends(order, training.batch_frames, [(sizes, training.atoms_per_batch)])
    return float(sizes.sum() / len(batches))


def in_words(atom_gradients: float, frames: Sequence[Atoms], training: Iterable[TrainingConfig]) -> str:
    """Say what a budget comes to in passes and steps, which the stages of an arm share."""
    size = max(atoms_per_step(frames, config) for config in training)
    passes = atom_gradients / sum(map(len, frames))
    return (
        f"Budget of an arm: {atom_gradients:.3g} atom gradients, that is {passes:.3g} passes over all atoms, or about "
        f"{round(atom_gradients / size):,} optimiser steps of {size:.0f} atoms, shared by its stages."
    )


def _power(number: float) -> str:
    return f"{number:.0e}".replace("e+0", "e")
