"""Which of the weights that a stage passes through are kept, by their errors on the validation frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mfbench.mfcore.training.config import LossConfig, SelectionRule
from mfbench.mfcore.training.loss import elementwise
from mfbench.mfcore.training.stage import StageState

Array = NDArray[np.float64]

LAST_PART = 0.25
"""Share of a stage's budget over whose checks "average" averages."""


@dataclass(frozen=True)
class FrameErrors:
    """Errors of some weights on B validation frames, NaN where a frame has no label.

    Attributes
    ----------
    energy
        (B,) eV/atom.
    forces, stress
        (B,) loss of a frame's components, their mean, without weights.
    fractions
        (B, species) shares of the elements among a frame's atoms.
    low_forces
        (B,) as `forces`, of answers for the next cheaper level by its labels.
    """

    energy: Array
    forces: Array
    stress: Array
    fractions: Array
    low_forces: Array


def detrended(energy: Array, fractions: Array) -> Array:
    """Energy errors per atom less what is linear in the composition: an error of reference energies is none.

    Where the fit would leave fewer than half of the energies free nothing is removed: what it left of so few would be
    small whatever the weights are.

    Parameters
    ----------
    energy
        (B,) eV/atom; NaN: no label.
    fractions
        (B, species).
    """
    known = np.isfinite(energy)
    if not known.any():
        return energy
    shift, _, rank, _ = np.linalg.lstsq(fractions[known], energy[known], rcond=None)
    return energy if 2 * rank > known.sum() else energy - fractions @ shift


def frame_scores(rule: SelectionRule, errors: FrameErrors, loss: LossConfig) -> Array:
    """Score of each validation frame, (B,), whose mean says how good weights are: lower is better.

    Terms and weights are those of the loss. By the rules "detrended" and "low_forces" energies count without their
    composition-linear part; by "low_forces" frames without HF forces have those of the cheaper level instead, where
    there are some.
    """
    modified = rule in ("detrended", "low_forces")
    energy = detrended(errors.energy, errors.fractions) if modified else errors.energy
    energy = elementwise(loss.energy, torch.from_numpy(energy), loss.huber_delta).numpy()
    forces = errors.forces
    if rule == "low_forces":
        forces = np.where(np.isfinite(forces), forces, errors.low_forces)
    terms = (
        (loss.energy_weight, energy),
        (loss.forces_weight, forces),
        (loss.stress_weight, errors.stress),
    )
    return np.asarray(sum(weight * np.where(np.isnan(term), 0.0, term) for weight, term in terms))


def is_as_good(scores: Array, best: Array) -> bool:
    """Say whether weights are as good as the best so far, as far as the frames can tell.

    They are if their mean score is higher by less than one standard error of the difference, frame by frame. This
    is the one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3), with
    "later in the training" where that has "simpler": few frames, of which early weights can have good energies by
    chance, then choose no early ones. By a single frame nothing can be told. Where no frame's score differs, earlier
    weights stay.
    """
    difference = scores - best
    if len(difference) < 2:
        return bool(difference.any())
    return bool(difference.mean() < difference.std(ddof=1) / np.sqrt(len(difference)))


def share_kept(rule: SelectionRule, state: StageState, scores: Array, budget: float, *, late: bool = False) -> float:
    """Share of the way from the selected weights to the present ones that the rule goes: 0 none, 1 all of it.

    Parameters
    ----------
    rule
        Of selection.
    state
        Of the stage; the check is noted in it.
    scores
        (B,) of the validation frames by the present weights.
    budget
        Of the stage, atom gradients.
    late
        Whether checks in the first half, the start apart, are no candidates.
    """
    score, done = float(scores.mean()), state.stage.atom_gradients / budget
    state.scores.append(score)
    if late and 0.0 < done < 0.5:
        return 0.0
    lowest = score < state.best
    state.stale = 0 if lowest else state.stale + 1
    if lowest:
        state.best, state.best_frames = score, scores.tolist()
    if rule == "average":
        state.averaged += done >= 1 - LAST_PART
        return 1 / max(1, state.averaged)
    if rule in ("detrended", "low_forces"):
        return float(lowest or is_as_good(scores, np.array(state.best_frames)))
    return float(lowest or rule == "last")
