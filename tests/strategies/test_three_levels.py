"""Every arm on three levels of theory: each level is learned from, or the arm says that it takes the nearest alone."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mfbench.benchmarks.harness.user_data import not_served
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.h2co.task import three_levels
from mfbench.mfcore.data.frames import energy_of, forces_of, set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import MfbenchError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import arm_class, arm_names, make_arm
from tests.conftest import HIGH, LOW, tiny_settings

MIDDLE = "mp2"
BUDGET = Budget(1500)


@pytest.fixture(scope="module")
def levels(frames: list[Atoms]) -> TrainingSet:
    """A level halfway between the two analytic ones, with frames of its own."""
    copies = [atoms.copy() for atoms in frames]
    for atoms in copies:
        energy = 0.5 * (energy_of(atoms, LOW) + energy_of(atoms, HIGH))
        set_labels(atoms, MIDDLE, energy=energy, forces=0.5 * (forces_of(atoms, LOW) + forces_of(atoms, HIGH)))
    train = {LOW: copies[:24], MIDDLE: copies[24:40], HIGH: copies[40:56]}
    return TrainingSet((LOW, MIDDLE, HIGH), train, dict.fromkeys(train, LabelSet.parse("EF")), copies[56:66])


def learned_levels(arm: str, data: TrainingSet) -> set[str]:
    """Fit an arm; the levels that its stages had frames of."""
    potential = make_arm(arm, tiny_settings()).fit(data, BUDGET, 1)
    assert potential.fidelities[-1] == data.high
    assert np.isfinite(np.concatenate(potential.predict(data.validation[:2]).forces or [])).all()
    return {name for stage in potential.ledger.stages for name, n in stage.frames_seen.items() if n}


def expected(arm: str, data: TrainingSet) -> set[str]:
    kind, (first, second, high) = arm_class(arm), data.fidelities
    if arm in ("delta_labels", "delta_model"):
        return {"delta", second} if arm == "delta_model" else {"delta"}
    if kind.role == "floor":
        return {second}
    if not kind.uses_low:
        return {high}
    return {first, second, high} if kind.uses_every_low else {second, high}


@pytest.mark.parametrize("arm", [name for name in arm_names() if arm_class(name).trains])
def test_every_arm_learns_from_three_levels_or_says_why_not(arm: str, levels: TrainingSet) -> None:
    assert learned_levels(arm, levels) == expected(arm, levels)
    kind = arm_class(arm)
    reason = not_served(arm, 2)
    assert ("one LF level alone, and there are 2" in reason) == (kind.uses_low and not kind.uses_every_low)


@pytest.mark.slow
@pytest.mark.parametrize("arm", [name for name in arm_names() if arm_class(name).trains])
def test_every_arm_runs_on_formaldehyde_at_three_levels(arm: str) -> None:
    try:
        split = three_levels().split(Regime(n_low=60, n_high=25, labels="low=EF,high=EF", coverage="full"), 0)
    except (MfbenchError, OSError) as error:
        pytest.skip(f"the H2CO files are not here: {error}")
    data = split.ceiling if arm_class(arm).needs_all_high else split.training
    assert learned_levels(arm, data) == expected(arm, data)
