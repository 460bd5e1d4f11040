"""Each fault that the self-checks are for is planted, and found; that sound arms pass, their other tests show."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mfbench.mfcore.cores.equivariant.layers import FidelityBias, MultiHeadReadout
from mfbench.mfcore.errors import SelfCheckError
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.training import trainer
from mfbench.mfcore.training.budget import Budget, Stage
from mfbench.strategies.checks import (
    check_fidelities_differ,
    check_reference_energies,
    check_replayed,
    check_target_answers,
)
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.joint import JointStrategy
from mfbench.strategies.registry import make_arm
from mfbench.strategies.transfer import Transfer
from tests.conftest import HIGH, LOW, tiny_settings


def fit(arm, training_set, budget=600, **training):
    return make_arm(arm, tiny_settings(**training)).fit(training_set, Budget(budget), 0)


def test_identical_heads_are_found(training_set):
    potential = fit("multi_head", training_set)
    check_fidelities_differ(potential, training_set)
    readout = potential.cores[0].readout
    assert isinstance(readout, MultiHeadReadout)
    with torch.no_grad():
        n_hidden = readout.hidden.shape[1] // 2
        readout.hidden[:, n_hidden:] = readout.hidden[:, :n_hidden]
        readout.out[1] = readout.out[0]
    with pytest.raises(SelfCheckError, match=f"multi_head: '{LOW}' and '{HIGH}' are answered by one function"):
        check_fidelities_differ(replace(potential), training_set)


def test_conditioning_without_effect_is_found(training_set):
    potential = fit("multi_fidelity", training_set)
    check_fidelities_differ(potential, training_set)
    with torch.no_grad():
        for module in potential.cores[0].modules():
            if isinstance(module, FidelityBias):
                module.weight.zero_()
    with pytest.raises(SelfCheckError, match="answered by one function"):
        check_fidelities_differ(replace(potential), training_set)


def test_a_head_that_training_does_not_use_is_found(training_set, monkeypatch):
    """Trained as one head, answered as two."""
    sound = MultiHeadReadout.forward

    def first_head_only(self, scalars, fidelity, kernels):
        first = torch.zeros_like(fidelity)
        first[..., 0] = 1.0
        return sound(self, scalars, first, kernels)

    monkeypatch.setattr(MultiHeadReadout, "forward", first_head_only)
    with pytest.raises(SelfCheckError):
        fit("multi_head", training_set)


@pytest.mark.parametrize("arm", ["single_fidelity", "multi_fidelity", "multi_head", "transfer"])
def test_a_dead_weight_of_the_target_is_found(training_set, arm):
    with pytest.raises(SelfCheckError, match=f"labels of '{HIGH}' have no effect"):
        fit(arm, training_set, loss={"fidelity_weights": {HIGH: 0.0}})


def test_weights_that_the_loss_ignores_are_found(training_set, monkeypatch):
    sound = trainer.loss_of

    def without_weights(output, batch, target, names, config, *more):
        return sound(output, batch, target, names, config.model_copy(update={"fidelity_weights": {}}), *more)

    monkeypatch.setattr(trainer, "loss_of", without_weights)
    with pytest.raises(SelfCheckError, match="no effect on the gradient"):
        fit("multi_head", training_set)


@pytest.mark.parametrize("arm", ["transfer_replay", "multi_head"])
def test_low_fidelity_frames_that_are_never_drawn_are_found(training_set, monkeypatch, arm):
    sound = trainer.epoch_order
    monkeypatch.setattr(
        trainer, "epoch_order", lambda high, low, *rest: sound(high, low[:0] if len(high) else low, *rest)
    )
    with pytest.raises(SelfCheckError, match=rf"no frame of '{LOW}' was (trained on|replayed)"):
        fit(arm, training_set)


def test_replay_that_is_switched_off_is_found(training_set, monkeypatch):
    sound = FitContext.train

    def without_replay(self, core, name, frames, *rest, **options):
        kept = {HIGH: frames[HIGH]} if "replay" in name else frames
        return sound(self, core, name, kept, *rest, **options)

    monkeypatch.setattr(FitContext, "train", without_replay)
    with pytest.raises(SelfCheckError, match=f"no frame of '{LOW}' was replayed"):
        fit("transfer_replay", training_set)
    check_replayed(Stage("short", frames_seen={HIGH: 10}), LOW, epoch=32)  # too short to tell


@pytest.mark.parametrize("arm", ["multi_head", "multi_fidelity"])
def test_the_wrong_head_is_found(training_set, monkeypatch, arm):
    sound = JointStrategy._fit

    def low_head(self, run):
        potential = sound(self, run)
        return Potential(potential.arm, potential.cores, {LOW: (Component(0, HIGH),), HIGH: (Component(0, LOW),)})

    monkeypatch.setattr(JointStrategy, "_fit", low_head)
    with pytest.raises(SelfCheckError, match=f"answers for '{HIGH}' are wrong by"):
        fit(arm, training_set)


@pytest.mark.parametrize("arm", ["single_fidelity", "multi_head", "transfer", "delta_labels", "delta_model"])
def test_weights_that_were_not_selected_are_found(training_set, arm):
    potential = fit(arm, training_set)
    check_target_answers(potential, training_set)
    with torch.no_grad():
        potential.cores[-1].embedding.mul_(3.0)
    with pytest.raises(SelfCheckError, match="does not evaluate what was trained"):
        check_target_answers(replace(potential), training_set)


def test_a_baseline_left_out_is_found(training_set):
    # a seed and a budget with which the difference is learned: a stage that found nothing better is not checked
    potential = make_arm("delta_model", tiny_settings()).fit(training_set, Budget(2500), 2)
    assert potential.ledger.stages[-1].best_spent > 0
    potential = replace(potential, outputs=potential.outputs | {HIGH: potential.outputs[HIGH][1:]})
    with pytest.raises(SelfCheckError, match="does not evaluate what was trained"):
        check_target_answers(potential, training_set)
    potential = replace(potential, outputs=potential.outputs | {HIGH: potential.outputs[LOW]})
    with pytest.raises(SelfCheckError, match="answered by one function"):
        check_fidelities_differ(potential, training_set)


@pytest.mark.parametrize("values", [None, [], [-1.0, float("nan")]])
def test_reference_energies_that_are_not_recorded_are_found(training_set, values):
    potential = fit("multi_head", training_set)
    check_reference_energies(potential)
    entry = potential.record["reference_energies"][HIGH]
    potential.record["reference_energies"][HIGH] = entry | {"values": values}
    with pytest.raises(SelfCheckError, match=f"no reference energies of '{HIGH}'"):
        check_reference_energies(potential)


def test_stages_book_what_they_saw(training_set):
    stages = fit("transfer_replay", training_set).ledger.stages
    assert set(stages[0].frames_seen) == {LOW}
    assert set(stages[1].frames_seen) == {LOW, HIGH}
    assert stages[1].fidelity == HIGH
    assert stages[1].validation_energy_mae_ev_per_atom > 0


class Faulty(Transfer):
    """An arm that can leave out each of the steps that make a result of it."""

    name = "faulty"
    fault = ""

    def _fit(self, run):
        high = run.data.high
        core = run.core([high])
        if self.fault == "returns nothing":
            return None
        if self.fault != "trains nothing":
            validation = () if self.fault == "selects nothing" else run.data.validation
            frames = {high: run.data.train[high]}
            if self.fault == "trains on LF":
                core = run.core([run.data.low[0]])
                frames, validation, high = {run.data.low[0]: run.data.train[run.data.low[0]]}, (), run.data.low[0]
                run.references[run.data.high] = run.references[high]
            run.train(core, "only", frames, run.data.labels, run.left, validation=validation)
        return Potential(self.name, [core], {run.data.high: (Component(0, high),)})


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("returns nothing", "faulty: _fit returned None, expected a Potential"),
        ("trains nothing", "faulty: nothing was trained: 0 stages with 0 steps"),
        ("selects nothing", "faulty: stage 'only' was given no validation frames.* not selected on the 10 HF"),
        ("trains on LF", f"faulty: no stage was on '{HIGH}' or on 'delta'.* not selected"),
    ],
)
def test_an_arm_that_leaves_a_step_out_is_found(training_set, monkeypatch, fault, why):
    def made():
        return Faulty(tiny_settings()).fit(training_set, Budget(600), 0)

    assert made().ledger.steps
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises(SelfCheckError, match=why):
        made()
    if fault == "trains on LF":
        monkeypatch.setattr(Faulty, "role", "floor")  # learns from no HF label, so that none selects it
        assert made().ledger.steps
