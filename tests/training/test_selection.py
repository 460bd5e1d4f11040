"""Which weights of a training are kept: against curves of scores and frames whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.errors import TrainingError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget, Stage
from mfbench.mfcore.training.config import LossConfig, TrainingConfig
from mfbench.mfcore.training.frame_errors import frame_errors
from mfbench.mfcore.training.selection import FrameErrors, detrended, frame_scores, is_as_good, share_kept
from mfbench.mfcore.training.stage import StageState, StageTask
from mfbench.mfcore.training.trainer import StageTrainer

NAMES = ["H2O", "CH4", "CO2", "CH3CH2OH", "H2", "CO"] * 3


def frames() -> list[Atoms]:
    made = []
    for number, name in enumerate(NAMES):
        atoms = molecule(name)
        atoms.rattle(0.1, seed=number)
        rng = np.random.default_rng(number)
        set_labels(atoms, "high", energy=float(rng.normal()), forces=rng.normal(size=(len(atoms), 3)))
        set_labels(atoms, "low", energy=float(rng.normal()), forces=rng.normal(size=(len(atoms), 3)))
        made.append(atoms)
    return made


def trainer(high: str = "EF", names: tuple[str, ...] = ("high",), **options: Any) -> StageTrainer:
    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=3.0, n_layers=1, lmax=1, channels=4, radial_hidden=(8,))
    core = EquivariantCore(config, (1, 6, 8), names, "none" if len(names) == 1 else "heads", 5.0)
    labels = {"high": LabelSet.parse(high), "low": LabelSet.parse("EF")}
    task = StageTask("t", {"high": frames()[:-4]}, labels, "high", frames()[-4:])
    return StageTrainer(core, task, TrainingConfig(batch_frames=1, validation_checks=6, **options), Budget(600.0), 3)


def weights(of: StageTrainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in of.core.parameters()]


CURVE = [9.0, 1.0, 2.0, 5.0, 3.0, 4.0, 6.0, 6.0]
"""Scores at the start, at every sixth of the budget, and at the end: the first check is the best."""


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"selection": "loss"}, 1),
        ({"selection": "second_half"}, 4),
        ({"selection": "second_half", "patience": 99}, 1),
        ({"selection": "detrended"}, 1),
    ],
)
def test_each_rule_keeps_the_weights_of_its_check(
    options: dict[str, Any], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames agree to within 0.2 on which check is better, so that also by a standard error the first is the best."""
    stage, scores, seen = trainer(**options), iter(CURVE), []

    def score() -> np.ndarray:
        seen.append(weights(stage))
        return next(scores) + np.array([-0.1, 0.1, 0.0, 0.0]) * (len(seen) % 2)

    monkeypatch.setattr(stage, "frame_scores", score)
    spent = stage.fit().best_spent
    assert chosen * 100.0 <= spent < chosen * 100.0 + 9.0
    assert all(torch.equal(a, b) for a, b in zip(weights(stage), seen[chosen], strict=True))


def test_last_and_average_look_at_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in ("last", "average"):
        stage, seen = trainer(selection=rule), list[list[torch.Tensor]]()

        def score(stage: StageTrainer = stage, seen: list[list[torch.Tensor]] = seen) -> np.ndarray:
            seen.append(weights(stage))
            return np.full(4, float(len(seen)))  # the start is the best

        monkeypatch.setattr(stage, "frame_scores", score)
        ledger = stage.fit()
        assert ledger.best_spent == ledger.atom_gradients
        part = seen[-1:] if rule == "last" else seen[5:]  # at 5/6, 6/6 and the end
        for found, *kept in zip(weights(stage), *part, strict=True):
            torch.testing.assert_close(found, torch.stack(kept).mean(0), rtol=1e-5, atol=1e-7)


def test_an_early_check_by_chance_is_not_kept_and_a_real_one_is() -> None:
    """A training that does not change any more, watched by six noisy frames; and one that overfits by 30 %."""
    rng = np.random.default_rng(0)
    early = {"detrended": 0, "loss": 0}
    for _ in range(300):
        frames_own = rng.lognormal(0.0, 1.0, 6)
        curve = frames_own * rng.lognormal(0.0, 0.3, (20, 6))
        for rule in early:
            early[rule] += last_kept(rule, curve) < 10
    assert early["loss"] > 100
    assert early["detrended"] < 0.25 * early["loss"]
    worse = np.linspace(1.0, 1.7, 20)[:, None] * rng.lognormal(0.0, 1.0, 6) * rng.lognormal(0.0, 0.05, (20, 6))
    assert last_kept("detrended", worse) < 5


def last_kept(rule: Any, curve: np.ndarray) -> int:
    state, kept = StageState(Stage("t")), 0
    for number, scores in enumerate(curve):
        state.stage.atom_gradients = float(number)
        if share_kept(rule, state, scores, float(len(curve))):
            kept = number
    return kept


def test_as_good_is_within_a_standard_error_of_the_difference() -> None:
    best = np.array([1.0, 5.0, 9.0, 3.0])
    difference = np.array([0.0, 0.2, 0.0, 0.2])  # 0.1, with a standard error of 0.058
    assert not is_as_good(best + difference, best)
    assert is_as_good(best + difference - 0.05, best)
    assert is_as_good(np.array([9.0]), np.array([1.0]))  # one frame tells nothing


def test_what_a_shift_of_reference_energies_would_mend_is_no_error() -> None:
    fractions = np.array([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    noise = np.array([0.0, 0.1, 0.0, -0.1, 0.0])
    found = detrended(fractions @ [3.0, -2.0] + noise, fractions)
    np.testing.assert_allclose(found, noise, atol=1e-12)
    few = fractions[:3] @ [3.0, -2.0]
    np.testing.assert_array_equal(detrended(few, fractions[:3]), few)  # two of three would be fitted away
    missing = np.array([*(fractions @ [3.0, -2.0])[:4], np.nan])
    np.testing.assert_allclose(detrended(missing, fractions)[:4], 0.0, atol=1e-12)


def test_scores_take_the_terms_of_the_loss_and_forces_where_they_are() -> None:
    nan = np.full(2, np.nan)
    errors = FrameErrors(np.array([0.1, -0.3]), np.array([2.0, np.nan]), nan, np.eye(2), np.array([7.0, 5.0]))
    loss = LossConfig(energy_weight=10.0, forces_weight=3.0)
    np.testing.assert_allclose(frame_scores("loss", errors, loss), [0.1 + 6.0, 0.9])
    np.testing.assert_allclose(frame_scores("low_forces", errors, loss), [0.1 + 6.0, 0.9 + 15.0])


def test_low_forces_are_looked_at_only_without_high_ones_and_cost_a_second_evaluation() -> None:
    spent = {}
    for high, rule in (("E", "low_forces"), ("EF", "low_forces"), ("E", "detrended")):
        stage = trainer(high, ("low", "high"), selection=rule)
        assert bool(stage._low_batches) == (high == "E" and rule == "low_forces")
        spent[high, rule] = stage.fit().validation_atom_evaluations
    assert spent["E", "low_forces"] == 2 * spent["E", "detrended"] == 2 * spent["EF", "low_forces"]
    assert not trainer("E", selection="low_forces")._low_batches  # a network of one fidelity


def test_a_frame_without_a_finite_answer_stops_the_stage() -> None:
    stage = trainer()
    stage.state.stage.steps = 1
    with torch.no_grad():
        for average in stage.average:
            average.fill_(torch.nan)
    with pytest.raises(TrainingError, match="diverged"):
        stage._check()


def test_errors_tell_a_label_that_is_missing_from_an_answer_that_is_not_finite() -> None:
    stage = trainer()
    batch = stage.validation.batch([0, 1])
    batch.energy[0] = torch.nan
    forces = torch.zeros_like(batch.positions)
    forces[-1] = torch.inf

    def predict(of: Batch) -> CoreOutput:
        return CoreOutput(torch.zeros(of.n_frames, dtype=torch.float64), forces, None)

    found = frame_errors(stage.core, [batch], [], predict, lambda of: of.energy, stage.config.loss)
    assert np.isnan(found.energy[0])
    assert np.isfinite(found.energy[1])
    assert np.isfinite(found.forces[0])
    assert np.isinf(found.forces[1])
    assert np.isnan([*found.stress, *found.low_forces]).all()
    np.testing.assert_allclose(found.fractions.sum(1), 1.0)


def test_frame_errors_are_those_of_the_loss() -> None:
    """One frame at a time, the mean score is the loss on it."""
    stage = trainer(selection="loss")
    scores = stage.frame_scores()
    for number, score in enumerate(scores):
        with torch.no_grad():
            value = stage.loss(stage.validation.batch([number]), training=False)
        assert score == pytest.approx(float(value), rel=1e-5)
