"""Every built-in arm keeps the contract, and each does what its definition says."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.benchmarks.harness.execute import inference_cost
from mfbench.benchmarks.tasks.base import Split
from mfbench.mfcore.core import Core
from mfbench.mfcore.data.frames import energy_of, forces_of, set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.training.budget import Budget, Stage
from mfbench.mfcore.training.checkpoint import load_tensors
from mfbench.mfcore.training.updates import Changes
from mfbench.strategies import registry
from mfbench.strategies.fine_tuning import FineTuning
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.registry import arm_class, arm_names, make_arm
from tests.conftest import HIGH, LOW, tiny_settings
from tests.contracts.strategy import StrategyContract


class TestSingleFidelity(StrategyContract):
    arm = "single_fidelity"


class TestSingleFidelityAll(StrategyContract):
    arm = "single_fidelity_all"


class TestLowFidelity(StrategyContract):
    arm = "low_fidelity"


class TestMultiFidelity(StrategyContract):
    arm = "multi_fidelity"


class TestMultiHead(StrategyContract):
    arm = "multi_head"


class TestTransfer(StrategyContract):
    arm = "transfer"


class TestTransferFrozen(StrategyContract):
    arm = "transfer_frozen"


class TestTransferReplay(StrategyContract):
    arm = "transfer_replay"


class TestTransferPseudoReplay(StrategyContract):
    arm = "transfer_pseudo_replay"


class TestTransferLoRA(StrategyContract):
    arm = "transfer_lora"


class TestTransferL2SP(StrategyContract):
    arm = "transfer_l2sp"


class TestTransferGraded(StrategyContract):
    arm = "transfer_graded"


class TestTransferRidge(StrategyContract):
    arm = "transfer_ridge"


class TestMultiFidelityEmbedding(StrategyContract):
    arm = "multi_fidelity_embedding"


class TestMultiFidelityTempered(StrategyContract):
    arm = "multi_fidelity_tempered"


class TestDeltaLabels(StrategyContract):
    arm = "delta_labels"


class TestDeltaModel(StrategyContract):
    arm = "delta_model"


def test_every_registered_arm_has_a_contract_test() -> None:
    tested = {c.arm for c in StrategyContract.__subclasses__()}
    assert {name for name in arm_names() if arm_class(name).trains} <= tested


def test_unknown_arm_and_unknown_setting_are_named() -> None:
    with pytest.raises(ConfigError, match="arm 'magic'"):
        make_arm("magic")
    with pytest.raises(ConfigError, match="learning_rat"):
        make_arm("transfer", {"training": {"learning_rat": 1}})


def test_frozen_trunk_changes_nothing_but_the_readout(training_set: TrainingSet, tmp_path: Path) -> None:
    """Both arms start from the same stored low-fidelity stage."""
    settings, budget = tiny_settings(), Budget(2500)
    free = make_arm("transfer", settings).fit(training_set, budget, 1, shared=tmp_path)
    frozen = make_arm("transfer_frozen", settings).fit(training_set, budget, 1, shared=tmp_path)
    assert [p.ledger.stages[0].reused for p in (free, frozen)] == [False, True]
    (stored,) = tmp_path.glob("stage-*.safetensors")
    before, _ = load_tensors(stored)
    after_free, after_frozen = (p.cores[0].state_dict() for p in (free, frozen))
    learned = [k for k in before if k not in ("reference", "scale", "reference_shift")]
    for name in learned:
        kept = torch.equal(before[name], after_frozen[name])
        assert kept != name.startswith("readout."), name
    assert not torch.equal(before["layers.0.linear_in.0"], after_free["layers.0.linear_in.0"])


def test_a_shared_stage_costs_as_much_as_one_trained_here(training_set: TrainingSet, tmp_path: Path) -> None:
    settings, budget = tiny_settings(), Budget(800)
    alone = make_arm("delta_model", settings).fit(training_set, budget, 1)
    make_arm("transfer", settings).fit(training_set, budget, 1, shared=tmp_path)
    sharing = make_arm("delta_model", settings).fit(training_set, budget, 1, shared=tmp_path)
    assert sharing.ledger.stages[0].reused
    assert sharing.ledger.atom_gradients == alone.ledger.atom_gradients


def test_networks_of_a_run_start_from_different_weights(training_set: TrainingSet) -> None:
    """Of a Δ on a model the second network is no copy of what the first started from."""
    settings = make_arm("delta_model", tiny_settings()).settings
    run = FitContext(settings, "least_squares", training_set, Budget(1), 3, None, None, None)
    first, again, second = (dict(run.core([HIGH], number=n).named_parameters()) for n in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_three_levels_are_trained_in_one_unit(training_set: TrainingSet) -> None:
    """The network goes on from level to level: its output must not change its unit between two of them."""
    labels = {"base": training_set.labels[LOW], **training_set.labels}
    frames = [a.copy() for a in training_set.train[LOW]]
    for atoms in frames:
        set_labels(atoms, "base", energy=energy_of(atoms, LOW), forces=3.0 * forces_of(atoms, LOW))
    data = TrainingSet(
        ("base", *training_set.fidelities), {"base": frames, **training_set.train}, labels, training_set.validation
    )
    (core,) = make_arm("transfer", tiny_settings()).fit(data, Budget(1500), 1).cores
    scales = np.array([np.asarray(core.scale_of(name)) for name in data.fidelities])
    assert (scales == scales[0]).all()


def test_joint_arms_see_the_difference_between_fidelities(
    training_set: TrainingSet, held_out_frames: list[Atoms]
) -> None:
    for arm in ("multi_fidelity", "multi_head", "transfer_replay", "delta_model"):
        potential = make_arm(arm, tiny_settings()).fit(training_set, Budget(2000), 1)
        low, high = (np.concatenate(potential.predict(held_out_frames, f).forces) for f in (LOW, HIGH))
        assert np.abs(low - high).mean() > 0.01, arm


def test_delta_on_labels_asks_for_what_it_needs(training_set: TrainingSet, held_out_frames: list[Atoms]) -> None:
    assert arm_class("delta_labels").needs_paired
    assert not arm_class("delta_labels").self_contained
    potential = make_arm("delta_labels", tiny_settings()).fit(training_set, Budget(500), 1)
    assert potential.requires_low_labels == (LOW,)
    bare = Atoms(held_out_frames[0].numbers, positions=held_out_frames[0].positions)
    with pytest.raises(Exception, match=f"frame 0, key '{LOW}_energy'"):
        potential.predict([bare])


def test_the_time_of_a_delta_on_labels_needs_no_labels(training_set: TrainingSet, held_out_frames: list[Atoms]) -> None:
    """Nor do the test frames of a set that has energies alone: the networks are timed."""
    potential = make_arm("delta_labels", tiny_settings()).fit(training_set, Budget(500), 1)
    bare = [Atoms(a.numbers, positions=a.positions) for a in held_out_frames]
    split = Split(training_set, {"test": bare}, training_set)
    assert 0.0 < inference_cost(potential, split) < float("inf")


def test_arms_stand_in_the_order_of_the_protocol_and_one_is_the_reference() -> None:
    roles = {name: arm_class(name).role for name in arm_names()}
    assert [name for name, role in roles.items() if role != "candidate"] == [
        "single_fidelity",
        "low_fidelity",
        "single_fidelity_all",
    ]
    assert next(iter(roles.values())) == "reference"
    assert {arm_class(name).name for name in arm_names()} == set(arm_names())


def test_an_entry_point_that_is_no_strategy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"odd": EntryPoint("odd", "math:sqrt", registry.GROUP), "gone": EntryPoint("gone", "no:arm", "")}
    monkeypatch.setattr(registry, "_points", lambda: points)
    with pytest.raises(
        ConfigError, match=r"arm 'odd': math:sqrt cannot be used \(it is no class on mfbench\.strategies\.Strategy"
    ):
        registry.arm_class("odd")
    with pytest.raises(ConfigError, match="arm 'gone': no:arm cannot be used"):
        registry.arm_class("gone")


def test_arms_that_are_not_usual_run_where_they_are_named_only() -> None:
    others = {name for name in arm_names() if not registry.is_usual(name)}
    assert others == {
        "multi_fidelity_embedding",
        "multi_fidelity_tempered",
        "pretrained",
        "transfer_graded",
        "transfer_l2sp",
        "transfer_lora",
        "transfer_pseudo_replay",
        "transfer_ridge",
    }


def test_pseudo_replay_trains_on_answers_of_the_pre_trained_network(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[Atoms]] = {}
    train = FitContext.train

    def watched(run: FitContext, core: Core, name: str, frames: dict[str, list[Atoms]], *rest: object, **more: object):
        if "replay" in name:
            seen.update(frames)
            answers = Potential("x", [core], {LOW: (Component(0, LOW),)}).predict(frames[LOW], LOW)
            np.testing.assert_allclose([energy_of(a, LOW) for a in frames[LOW]], answers.energies, atol=1e-6)
            for atoms, forces in zip(frames[LOW], answers.forces, strict=True):
                np.testing.assert_allclose(forces_of(atoms, LOW), forces, atol=1e-6)
        return train(run, core, name, frames, *rest, **more)

    monkeypatch.setattr(FitContext, "train", watched)
    settings = tiny_settings(precision="float64") | {"replay_ratio": 0.5}
    make_arm("transfer_pseudo_replay", settings).fit(training_set, Budget(1500), 1)
    known = {a.positions.tobytes(): energy_of(a, LOW) for a in training_set.train[LOW]}
    assert len(seen[LOW]) == 8
    true = np.array([known[a.positions.tobytes()] for a in seen[LOW]])
    assert np.abs(true - [energy_of(a, LOW) for a in seen[LOW]]).min() > 1e-6  # the network's, not the label's
    assert all(np.isfinite(value) for value in known.values())  # frames of the training set are not written to


def test_temperature_sets_the_share_of_high_frames(training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    train = FitContext.train

    def watched(run: FitContext, *args: object, training: dict[str, float], **more: object):
        shares.append(training["high_fidelity_fraction"])
        return train(run, *args, training=training, **more)

    monkeypatch.setattr(FitContext, "train", watched)
    for temperature in (1.0, 2.0, 1e9):
        settings = tiny_settings() | {"temperature": temperature}
        make_arm("multi_fidelity_tempered", settings).fit(training_set, Budget(300), 1)
    # 16 HF and 40 LF frames
    assert shares == pytest.approx([16 / 56, 4 / (4 + 40**0.5), 0.5], rel=1e-6)


@pytest.mark.parametrize("arm", ["transfer", "transfer_frozen", "transfer_lora", "transfer_l2sp", "transfer_graded"])
def test_fine_tuning_arms_differ_in_their_second_stage_only(
    arm: str, training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = []

    def watched(run: FitContext, core: Core, name: str, frames: object, labels: object, budget: Budget, **more: object):
        stages.append((name, budget.atom_gradients, more))
        run.ledger.stages.append(Stage(name, atom_gradients=budget.atom_gradients))

    monkeypatch.setattr(FitContext, "train", watched)
    assert issubclass(arm_class(arm), FineTuning)
    strategy = make_arm(arm, tiny_settings() | {"pretrain_share": 0.25, "finetune_learning_rate": 0.5})
    strategy._fit(FitContext(strategy.settings, "residual", training_set, Budget(1000), 1, None, None, None))
    assert [(name, spent) for name, spent, _ in stages] == [(LOW, 250.0), (f"{HIGH} (fine-tuning)", 750.0)]
    second = stages[1][2]
    assert second["training"] == {"learning_rate": 0.005}
    assert second["trainable"] == (("readout",) if arm == "transfer_frozen" else None)
    expected = {
        "transfer_lora": Changes(rank=4),
        "transfer_l2sp": Changes(anchor=1.0),
        "transfer_graded": Changes(layer_decay=0.4),
    }
    assert second["changes"] == expected.get(arm, Changes())
