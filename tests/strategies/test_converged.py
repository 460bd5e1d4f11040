"""The rule "converged": one patience on HF validation for every arm, under one cap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import BudgetError, ConfigError
from mfbench.mfcore.training.budget import Budget, Ledger, Stage
from mfbench.strategies.registry import make_arm
from tests.conftest import LOW, tiny_settings

ARMS = ("single_fidelity", "multi_fidelity", "transfer", "transfer_replay", "delta_labels", "delta_model")
CAP, CHECKS, PATIENCE = 4000.0, 20, 3
BATCH_ATOMS = 8 * 3
STILL = tiny_settings(learning_rate=1e-14, validation_checks=CHECKS)  # a plateau from the first step on


def test_parts_of_a_budget_keep_its_rule_and_its_checks() -> None:
    whole = Budget(100.0, patience=4)
    assert (whole.rule, Budget(100.0).rule) == ("converged", "equal-compute")
    assert whole.fraction(0.6) == Budget(60.0, 4, 100.0)
    assert whole.fraction(0.5).fraction(0.5) == Budget(25.0, 4, 100.0)
    assert whole.rest(70.0) == Budget(30.0, 4, 100.0)
    assert whole.rest(70.0).check_interval(20) == whole.check_interval(20) == 5.0
    assert Budget(100.0).rest(70.0).check_interval(20) == 1.5  # a stage's own twentieth where all is spent
    with pytest.raises(BudgetError, match="patience"):
        Budget(100.0, patience=0)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_stops_after_the_same_patience_on_a_plateau(arm: str, training_set: TrainingSet) -> None:
    potential = make_arm(arm, STILL).fit(training_set, Budget(CAP, PATIENCE), 1)
    *before, last = [stage for stage in potential.ledger.stages if stage.steps]
    waited = PATIENCE * CAP / CHECKS
    assert last.stopped == "patience"
    assert waited <= last.atom_gradients < waited + BATCH_ATOMS
    assert [stage.stopped for stage in before] == ["budget"] * len(before)
    assert potential.ledger.atom_gradients < 0.8 * CAP
    assert (potential.record["budget_rule"], potential.record["budget_patience"]) == ("converged", PATIENCE)


def test_a_budget_that_the_first_stages_use_up_is_an_error(training_set: TrainingSet) -> None:
    """Predictions of the base on HF frames count: they can be more than is left."""
    frames = sum(len(a) for a in training_set.train[training_set.high])
    with pytest.raises(
        BudgetError, match=r"stage '.* model on .* frames': with it .* leaves nothing for the next stage"
    ):
        make_arm("delta_model", tiny_settings()).fit(training_set, Budget(1.2 * frames), 1)


@pytest.mark.parametrize("arm", ["single_fidelity", "transfer"])
def test_without_a_plateau_the_cap_ends_it(arm: str, training_set: TrainingSet) -> None:
    potential = make_arm(arm, tiny_settings()).fit(training_set, Budget(800.0, patience=1000), 1)
    assert 800 - 2 * BATCH_ATOMS < potential.ledger.atom_gradients <= 800
    assert {stage.stopped for stage in potential.ledger.stages} == {"budget"}


def test_equal_compute_spends_everything_on_a_plateau(training_set: TrainingSet) -> None:
    ledger = make_arm("single_fidelity", STILL).fit(training_set, Budget(CAP), 1).ledger
    assert CAP - BATCH_ATOMS < ledger.atom_gradients <= CAP


def test_resumed_equals_uninterrupted(training_set: TrainingSet, held_out_frames: list[Atoms], tmp_path: Path) -> None:
    """Cut at checks with part of the patience used up: the rest of it, not all of it, is left afterwards."""
    settings, budget = tiny_settings(**{**STILL["training"], "checkpoint_s": 0.0}), Budget(CAP, 4)  # type: ignore[dict-item]
    whole = make_arm("transfer", settings).fit(training_set, budget, 5)
    assert whole.ledger.stages[-1].stopped == "patience"

    class Cut(Exception):
        pass

    calls = 0

    def cutting(stage: str, spent: float, budget: float) -> None:
        nonlocal calls
        calls += stage != LOW
        if calls in (2, 4):
            raise Cut

    resumed, cuts = None, 0
    while resumed is None:
        try:
            resumed = make_arm("transfer", settings).fit(training_set, budget, 5, progress=cutting, workdir=tmp_path)
        except Cut:
            cuts += 1
    assert cuts == 2
    spent = [[(s.atom_gradients, s.steps, s.stopped) for s in p.ledger.stages] for p in (whole, resumed)]
    assert spent[0] == spent[1]
    first, second = whole.predict(held_out_frames), resumed.predict(held_out_frames)
    np.testing.assert_array_equal(first.energies, second.energies)


def test_two_patiences_contradict_each_other(training_set: TrainingSet) -> None:
    with pytest.raises(ConfigError, match=r"training\.patience"):
        make_arm("single_fidelity", tiny_settings(patience=3)).fit(training_set, Budget(100.0, 3), 1)


def test_a_ledger_of_before_trials_were_booked_can_be_read() -> None:
    values = Ledger([Stage("a", 60, stopped="budget")]).as_dict()
    old = {k: v for k, v in values.items() if k != "trial_atom_gradients"}
    old["stages"] = [{k: v for k, v in s.items() if k != "stopped"} for s in values["stages"]]
    assert Ledger.from_dict(old).trial_atom_gradients == 0.0
    assert Ledger.from_dict(values).stages[0].stopped == "budget"
