"""Each reference-energy policy does what it says."""

from __future__ import annotations

import numpy as np
import pytest

from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import HIGH, LOW, tiny_settings


def test_isolated_atoms_are_taken_as_given(training_set: TrainingSet) -> None:
    given = {HIGH: {"H": -13.0, "O": -2041.0}}
    settings = tiny_settings() | {"e0": "isolated", "isolated_energies": given}
    potential = make_arm("single_fidelity", settings).fit(training_set, Budget(300), 1)
    record = potential.record["reference_energies"][HIGH]
    assert record["policy"] == "isolated"
    assert dict(zip(record["species"], record["values"], strict=True)) == {1: -13.0, 8: -2041.0}
    with pytest.raises(ConfigError, match=f"isolated_energies.{HIGH}"):
        make_arm("single_fidelity", tiny_settings() | {"e0": "isolated"}).fit(training_set, Budget(300), 1)


def test_trainable_energies_move_and_the_others_do_not(training_set: TrainingSet) -> None:
    moved = {}
    for policy in ("trainable", "least_squares"):
        settings = tiny_settings() | {"e0": policy}
        potential = make_arm("multi_fidelity", settings).fit(training_set, Budget(800), 1)
        moved[policy] = float(potential.cores[0].reference_shift.abs().max())
    assert moved["trainable"] > 0
    assert moved["least_squares"] == 0


def test_the_residual_policy_leaves_no_composition_linear_error(training_set: TrainingSet) -> None:
    """The floor is the LF model with E0 refitted: what is left of HF has no part linear in the counts."""
    settings = tiny_settings(precision="float64") | {"e0": "residual"}
    potential = make_arm("low_fidelity", settings).fit(training_set, Budget(1500), 1)
    frames = training_set.train[HIGH]
    error = potential.predict(frames, HIGH, forces=False).energies - [energy_of(a, HIGH) for a in frames]
    counts = composition(frames, potential.species)
    np.testing.assert_allclose(counts.T @ error, 0, atol=1e-6)
    shift = (
        potential.predict(frames, HIGH, forces=False).energies - potential.predict(frames, LOW, forces=False).energies
    )
    fitted, *_ = np.linalg.lstsq(counts, shift, rcond=None)
    np.testing.assert_allclose(counts @ fitted, shift, atol=1e-8)
