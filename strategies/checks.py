"""Checks of a fitted potential before it counts: that it answers as what it was trained to be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np
from ase import Atoms

from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.reference_energies import least_squares_energies
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import SelfCheckError
from mfbench.mfcore.metrics.errors import MEV_PER_EV, energy_mae_mev_per_atom
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.training.budget import Stage
from mfbench.strategies.fit_context import DELTA

_FRAMES = 8
_RELATIVE_DIFFERENCE = 1e-5
"""Of the norm of all forces: fidelities whose forces are proportional to this are one function, rounding aside."""

_ENERGY_RTOL, _ENERGY_ATOL = 1e-2, 1e-5
"""Single precision, in eV/atom: what two ways to the same energies may differ by."""


def check_potential(potential: Potential, data: TrainingSet, *, selected: bool = True) -> None:
    """Run all checks on a potential with its ledger and record.

    Parameters
    ----------
    selected
        Whether its weights must have been selected on the HF validation frames: all arms' but the floor's.

    Raises
    ------
    SelfCheckError
        Names what is wrong.
    """
    check_trained(potential)
    if selected:
        check_selected(potential, data)
    check_reference_energies(potential)
    check_fidelities_differ(potential, data)
    check_target_answers(potential, data)


def check_is_potential(found: object, arm: str) -> None:
    """The arm has returned a potential.

    Raises
    ------
    SelfCheckError
        Says what it returned.
    """
    if not isinstance(found, Potential):
        raise SelfCheckError(f"{arm}: _fit returned {found!r:.80}, expected a Potential.")


def check_trained(potential: Potential) -> None:
    """Some stage has trained it.

    Raises
    ------
    SelfCheckError
        If none has, or without a single gradient.
    """
    if not potential.ledger.atom_gradients > 0:
        n = len(potential.ledger.stages)
        raise SelfCheckError(
            f"{potential.arm}: nothing was trained: {n} stages with {potential.ledger.steps} steps are booked; train "
            "by run.train(...), which books them, and with a budget of one step or more."
        )


def check_selected(potential: Potential, data: TrainingSet) -> None:
    """The weights of the last stage on HF, or on HF - LF, were selected on the HF validation frames, if there are any.

    Raises
    ------
    SelfCheckError
        If no stage is of that kind, or the last one was not given the frames.
    """
    if not _validation(potential, data):
        return
    stage = _selected(potential, data)
    if stage is None:
        problem = f"no stage was on '{data.high}' or on '{DELTA}'"
    elif not stage.validation_atom_evaluations > 0:
        problem = f"stage '{stage.name}' was given no validation frames"
    else:
        return
    raise SelfCheckError(
        f"{potential.arm}: {problem}, so its weights were not selected on the {len(data.validation)} HF validation "
        "frames as those of every other arm are; give run.train(..., validation=run.data.validation, "
        "high=run.data.high)."
    )


def check_reference_energies(potential: Potential) -> None:
    """Every fidelity that a network answers as has its reference energies in the record, each a finite number.

    Raises
    ------
    SelfCheckError
        Names the fidelity.
    """
    recorded = potential.record.get("reference_energies", {})
    for fidelity in {term.fidelity for terms in potential.outputs.values() for term in terms}:
        values = recorded.get(fidelity, {}).get("values")
        if not values or not np.isfinite(list(values.values()) if isinstance(values, dict) else values).all():
            raise SelfCheckError(
                f"{potential.arm}: the record has no reference energies of '{fidelity}' (found {values!r})."
            )


def check_fidelities_differ(potential: Potential, data: TrainingSet) -> None:
    """Predictions of different fidelities are different functions, beyond their reference energies and scales.

    A potential that no HF label trained (the floor) answers all fidelities by one network, and is left out; so is one
    whose HF stage made nothing better, so that the weights it started from were selected.

    Raises
    ------
    SelfCheckError
        Names the two fidelities.
    """
    stage = _selected(potential, data)
    if stage is None or stage.best_spent == 0.0:
        return
    odd = frozenset[int]().union(*(potential.refused(f) | potential.estimated(f) for f in potential.fidelities))
    ordinary = (a for a in _validation(potential, data) if len(a) > 1 and odd.isdisjoint(a.numbers.tolist()))
    frames = list(islice(ordinary, _FRAMES))
    if not frames:
        return
    forces = {
        fidelity: np.concatenate(potential.predict(frames, fidelity).forces or [])
        for fidelity in potential.fidelities
        if fidelity not in potential.delta_baseline  # there even an idle network differs by the labels that are added
    }
    for one, other in combinations(forces, 2):
        # Each fidelity has a scale of its own, so one network would answer with proportional forces.
        factor = np.vdot(forces[other], forces[one]) / max(float(np.vdot(forces[other], forces[other])), 1e-300)
        difference = np.linalg.norm(forces[one] - factor * forces[other])
        if difference <= _RELATIVE_DIFFERENCE * np.linalg.norm(forces[one]):
            raise SelfCheckError(
                f"{potential.arm}: '{one}' and '{other}' are answered by one function; what tells the fidelities "
                "apart (heads, conditioning, a second network) has no effect."
            )


def check_target_answers(potential: Potential, data: TrainingSet) -> None:
    """On the validation frames the potential, asked for the target, has the error that its weights were selected by.

    This fails if another head is evaluated than the one that was trained, or if weights, reference energies or
    a baseline were mixed up on the way from the trainer to the potential.

    Raises
    ------
    SelfCheckError
        Gives both errors.
    """
    stage = _selected(potential, data)
    frames = _validation(potential, data)
    if stage is None or stage.validation_energy_mae_ev_per_atom is None or not frames:
        return
    predicted = potential.predict(frames, data.high, forces=False).energies
    reference = np.array([energy_of(a, data.high) for a in frames])
    sizes = np.array([len(a) for a in frames])
    found = float(np.mean(np.abs(predicted - reference) / sizes))
    trained = stage.validation_energy_mae_ev_per_atom
    if not np.isclose(found, trained, rtol=_ENERGY_RTOL, atol=_ENERGY_ATOL):
        raise SelfCheckError(
            f"{potential.arm}: on the validation frames, answers for '{data.high}' are wrong by {1e3 * found:.4g} "
            f"meV/atom, but the weights of stage '{stage.name}' were selected with {1e3 * trained:.4g} meV/atom; the "
            "potential does not evaluate what was trained."
        )


class LearnedEnergies(NamedTuple):
    """Errors on the validation frames, mean absolute, eV/atom: of a potential, and of a constant by composition."""

    found: float
    constant: float

    @property
    def enough(self) -> bool:
        """True if the potential has learned more than the constant says."""
        return self.found < self.constant


def learned_energies(potential: Potential, data: TrainingSet) -> LearnedEnergies | None:
    """Hold a potential against the mean energy by composition of the HF training labels, on the validation frames.

    Returns
    -------
    LearnedEnergies or None
        None without HF energies to train or to validate on, or if validation frames have other elements.
    """
    frames, train = _validation(potential, data), list(data.train[data.high])
    energies = np.array([energy_of(a, data.high) for a in train])
    species = sorted({int(z) for a in train for z in a.numbers})
    if not (frames and np.isfinite(energies).any() and {int(z) for a in frames for z in a.numbers} <= set(species)):
        return None
    constant = least_squares_energies(train, energies, species).of(frames)
    predicted = potential.predict(frames, data.high, forces=False).energies
    reference, sizes = [energy_of(a, data.high) for a in frames], [len(a) for a in frames]
    errors = (energy_mae_mev_per_atom(answers, reference, sizes) / MEV_PER_EV for answers in (predicted, constant))
    return LearnedEnergies(*errors)


def check_replayed(stage: Stage, low: str, epoch: int) -> None:
    """A stage that has gone through an epoch has trained on LF frames too.

    Parameters
    ----------
    epoch
        Frames of an epoch: HF ones, and those that are replayed.

    Raises
    ------
    SelfCheckError
        If it has not.
    """
    if sum(stage.frames_seen.values()) >= 2 * epoch and not stage.frames_seen.get(low):
        raise SelfCheckError(f"stage '{stage.name}': no frame of '{low}' was replayed in {stage.steps} steps.")


def _selected(potential: Potential, data: TrainingSet) -> Stage | None:
    """The stage whose weights were selected on HF; None if no stage was."""
    stages = [stage for stage in potential.ledger.stages if stage.fidelity in (data.high, DELTA)]
    return stages[-1] if stages else None


def _validation(potential: Potential, data: TrainingSet) -> Sequence[Atoms]:
    """Validation frames with an HF energy, and with the labels that a prediction needs."""
    needed = (data.high, *potential.requires_low_labels)
    return [a for a in data.validation if all(np.isfinite(energy_of(a, name)) for name in needed)]
