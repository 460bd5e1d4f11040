"""Errors of answers that need no training: a constant, and the LF labels as they are.

An arm that is no better than the constant has failed to train; one that is no better than the LF labels has learnt
nothing from the HF labels but their reference energies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.benchmarks.observables.errors.scores import evaluate
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label
from mfbench.mfcore.data.reference_energies import ReferenceEnergies, least_squares_energies
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.potentials.predictions import Predictions

SCORED = ("energy_mae_mev_per_atom", "energy_detrended_mae_mev_per_atom", "force_mae_mev_per_A")
"""Metrics that baselines are scored by."""


@dataclass(frozen=True)
class _Answers:
    """Answers for the target fidelity, in the form of a potential."""

    fidelities: tuple[str, ...]
    energy: Callable[[Atoms], float]
    force: Callable[[Atoms], NDArray[np.float64]]

    def predict(self, frames: Sequence[Atoms], fidelity: str, *, forces: bool, stress: bool) -> Predictions:
        energies = np.array([self.energy(atoms) for atoms in frames])
        none = np.zeros((len(frames), 3, 3)) if stress else None
        return Predictions(energies, [self.force(atoms) for atoms in frames] if forces else None, none)


def baseline_rows(training: TrainingSet, tests: Mapping[str, Sequence[Atoms]]) -> list[dict[str, Any]]:
    """Score the baselines on each test split.

    The constant predictor has the mean energy by composition of the HF training labels (least squares of one energy per
    element) and no forces. The LF labels are those of the nearest lower fidelity, plus an energy per element that is
    fitted to HF - LF on the training frames which have both, or else the difference of what is fitted to each; they
    are scored where each test frame has them.

    Parameters
    ----------
    training
        Training frames; HF energies must be among their labels, else there is no baseline.
    tests
        HF-labelled frames by split name.

    Returns
    -------
    list of dict
        Rows as of :func:`mfbench.benchmarks.observables.errors.scores.evaluate`, each metric with the prefix of its
        baseline; none for a split with an element that no HF training frame has.
    """
    high = training.high
    if Label.ENERGY not in training.labels[high]:
        return []
    rows: list[dict[str, Any]] = []
    constant = _fitted(training.train[high], lambda a: energy_of(a, high))
    known = set(constant.species)
    covered = {name: f for name, f in tests.items() if all(known.issuperset(map(int, a.numbers)) for a in f)}
    answers = {
        "constant": (_Answers((high,), lambda a: float(constant.of([a])[0]), lambda a: np.zeros((len(a), 3))), covered)
    }
    if training.low:
        low = training.low[-1]
        labelled = {n: f for n, f in covered.items() if all(_has_same(a, low, high) for a in f)}
        shift = _shift(training, low, constant) if labelled else None
        if shift is not None:
            answers["lf_labels"] = (
                _Answers((high,), lambda a: energy_of(a, low) + float(shift.of([a])[0]), lambda a: forces_of(a, low)),
                labelled,
            )
    for name, (found, splits) in answers.items():
        for row in evaluate(found, splits, (high,)).rows:
            if row["metric"] in SCORED:
                rows.append(row | {"metric": f"{name}_{row['metric']}"})
    return rows


def _has_same(atoms: Atoms, low: str, high: str) -> bool:
    """Say whether a frame has an LF label for each HF label that is scored."""
    return all(has_label(atoms, low, kind) or not has_label(atoms, high, kind) for kind in (Label.ENERGY, Label.FORCES))


def _fitted(frames: Sequence[Atoms], energy: Callable[[Atoms], float]) -> ReferenceEnergies:
    species = tuple(int(n) for n in np.unique(np.concatenate([a.numbers for a in frames])))
    return least_squares_energies(frames, np.array([energy(a) for a in frames]), species)


def _shift(training: TrainingSet, low: str, constant: ReferenceEnergies) -> ReferenceEnergies | None:
    """Energies per element that are added to LF ones; None if an element is in no LF energy."""
    high = training.high
    both = [a for a in training.train[high] if has_label(a, low, Label.ENERGY)]
    if both and {int(n) for a in both for n in a.numbers} >= set(constant.species):
        return _fitted(both, lambda a: energy_of(a, high) - energy_of(a, low))
    apart = [a for a in training.train[low] if has_label(a, low, Label.ENERGY)]
    if not apart:
        return None
    below = _fitted(apart, lambda a: energy_of(a, low))
    values = dict(zip(below.species, below.values, strict=True))
    if not set(values) >= set(constant.species):
        return None
    differences = tuple(e - values[n] for n, e in zip(constant.species, constant.values, strict=True))
    return ReferenceEnergies(constant.species, differences, "least_squares", 0, 0)
