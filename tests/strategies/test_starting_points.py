"""Arms that start from a checkpoint, here a potential of our own.

Modules: mfbench.strategies.pretrained, mfbench.strategies.starting_point, mfbench.mfcore.cores.equivariant.start.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mfbench.benchmarks.harness.cores import core_of, entry_of, lacking, uses_low
from mfbench.benchmarks.harness.user_data import not_served
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials.potential import Component, Potential, load
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import arm_class, is_usual, make_arm
from mfbench.strategies.starting_point import Start, examine, sentences
from tests.conftest import HIGH, LOW, tiny_settings

ARMS = (
    "pretrained",
    "transfer",
    "transfer_frozen",
    "transfer_lora",
    "transfer_replay",
    "transfer_pseudo_replay",
    "multi_head",
    "multi_fidelity",
    "delta_model",
)
BUDGET = Budget(400)


@pytest.fixture(scope="module")
def model(training_set: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential that LF labels trained."""
    folder = tmp_path_factory.mktemp("start") / "model"
    make_arm("low_fidelity", tiny_settings()).fit(training_set, Budget(2000), 1).save(folder)
    return folder


def settings_of(model: Path, part: str = LOW) -> dict[str, object]:
    settings = tiny_settings()
    return {**settings, "core": {**settings["core"], "checkpoint": f"{model}:{part}"}}


@pytest.mark.parametrize("arm", ARMS)
def test_a_checkpoint_takes_the_place_of_the_lf_stage(
    arm: str, model: Path, training_set: TrainingSet, held_out_frames: list[Atoms]
) -> None:
    potential = make_arm(arm, settings_of(model)).fit(training_set, BUDGET, 1)
    found = potential.predict(held_out_frames, HIGH).forces
    start = load(model).predict(held_out_frames, LOW).forces
    same = np.allclose(np.concatenate(found), np.concatenate(start), atol=1e-5)
    assert same == (arm == "pretrained")
    assert LOW not in [stage.name for stage in potential.ledger.stages]
    assert len(potential.record["start"]["checkpoint_sha256"]) == 64
    assert potential.record["start"][HIGH]["force_slope"] == pytest.approx(1.0, abs=0.5)
    errors = [
        np.abs(np.concatenate(f) - np.concatenate([a.arrays[f"{HIGH}_forces"] for a in held_out_frames])).mean()
        for f in (found, start)
    ]
    assert errors[0] < 1.3 * errors[1]  # it has not begun anew


def test_reference_energies_are_refitted_to_what_the_checkpoint_leaves(
    model: Path, training_set: TrainingSet, held_out_frames: list[Atoms]
) -> None:
    potential = make_arm("pretrained", settings_of(model)).fit(training_set, BUDGET, 1)
    found = potential.predict(held_out_frames, HIGH).energies - load(model).predict(held_out_frames, LOW).energies
    counts = np.array([[np.count_nonzero(a.numbers == z) for z in potential.species] for a in held_out_frames])
    shift, *_ = np.linalg.lstsq(counts, found, rcond=None)
    np.testing.assert_allclose(counts @ shift, found, atol=1e-3)
    assert np.abs(shift).max() > 1.0


def test_hf_labels_are_enough_where_there_is_a_checkpoint(model: Path, training_set: TrainingSet) -> None:
    alone = TrainingSet(
        (HIGH,), {HIGH: training_set.train[HIGH]}, {HIGH: training_set.labels[HIGH]}, training_set.validation
    )
    for arm in ("pretrained", "transfer", "delta_model"):
        assert make_arm(arm, settings_of(model)).fit(alone, BUDGET, 1).fidelities == (HIGH,)
        assert not not_served(arm, 0, starts=True)
    assert not_served("transfer", 0)
    assert not_served("transfer_replay", 0, starts=True)


def test_single_fidelity_starts_from_scratch(model: Path, training_set: TrainingSet) -> None:
    potential = make_arm("single_fidelity", settings_of(model)).fit(training_set, BUDGET, 1)
    assert "start" not in potential.record


@pytest.mark.parametrize("conditioning", ["none", "heads", "one_hot", "embedding"])
def test_every_fidelity_of_a_started_network_is_the_checkpoints_function(
    conditioning: str, model: Path, held_out_frames: list[Atoms]
) -> None:
    choice = CoreChoice.model_validate({"checkpoint": f"{model}:{LOW}"})
    hydroxyls = [a for a in held_out_frames if len(a) == 2]
    for species in ((1, 8), (8, 1)):
        core = choice.build(species, ("a", "b", "c"), conditioning, 7.0)
        started = Potential("start", [core], {f: (Component(0, f),) for f in core.fidelities})
        wanted = load(model).predict(hydroxyls, LOW)
        for fidelity in core.fidelities:
            found = started.predict(hydroxyls, fidelity)
            np.testing.assert_allclose(found.energies, wanted.energies, atol=1e-4)
            np.testing.assert_allclose(found.forces, wanted.forces, atol=1e-4)


def test_what_cannot_be_started_from_is_said(model: Path, training_set: TrainingSet, tmp_path: Path) -> None:
    def build(checkpoint: str, species: tuple[int, ...] = (1, 8)) -> None:
        CoreChoice.model_validate({"checkpoint": checkpoint}).build(species, (HIGH,), "none", 7.0)

    with pytest.raises(ConfigError, match=f"no fidelity 'mp2', only {LOW}, {HIGH}"):
        build(f"{model}:mp2")
    with pytest.raises(ConfigError, match="was not trained on N"):
        build(f"{model}:{LOW}", (1, 7, 8))
    with pytest.raises(ConfigError, match="there is no file nowhere"):
        build("nowhere")
    with pytest.raises(ConfigError, match="no folder of a potential"):
        build(str(tmp_path))
    make_arm("delta_model", tiny_settings()).fit(training_set, BUDGET, 1).save(tmp_path / "delta")
    with pytest.raises(ConfigError, match="are sums"):
        build(str(tmp_path / "delta"))
    make_arm("multi_fidelity", tiny_settings()).fit(training_set, BUDGET, 1).save(tmp_path / "joint")
    with pytest.raises(ConfigError, match="conditioning 'one_hot'"):
        build(str(tmp_path / "joint"))
    with pytest.raises(ConfigError, match="pretrained: it is made of a checkpoint"):
        make_arm("pretrained", tiny_settings()).fit(training_set, BUDGET, 1)


def test_planning_knows_of_checkpoints() -> None:
    start = entry_of({"name": "equivariant", "checkpoint": "results/my.model.v2:pbe"})
    assert start.label == "equivariant(my.model.v2:pbe)"
    assert entry_of({"checkpoint": "a/weights.pth:PBE"}).label == "equivariant(weights:PBE)"
    assert core_of({"core": {"checkpoint": "m"}}).checkpoint == "m"
    assert not lacking("pretrained", start.name, start.checkpoint)
    assert "it is made of a checkpoint" in lacking("pretrained", "equivariant")
    arms = ("transfer", "transfer_replay", "multi_head")
    assert [uses_low(arm, checkpoint=True) for arm in arms] == [False, True, True]
    assert [uses_low(arm, checkpoint=False) for arm in arms] == [True] * 3
    assert is_usual("pretrained", starts=True)
    assert not is_usual("pretrained")
    assert arm_class("single_fidelity").usual


def test_a_checkpoint_is_described_before_it_is_trained(model: Path, training_set: TrainingSet) -> None:
    core = CoreChoice.model_validate({"checkpoint": f"{model}:{LOW}"}).build((1, 8), (HIGH,), "none", 7.0)
    start = examine(core, training_set.train[HIGH], HIGH, training_set.labels[HIGH])
    assert start.n_frames == 16
    assert abs(start.shift_ev_per_atom) > 1.0
    assert start.low <= start.force_slope <= start.high
    said = " ".join(sentences(start, "model", HIGH))
    assert "another reference" in said
    assert "times the labels" in said
    wrong = " ".join(sentences(Start(8, 0.0, 30.0, 20.0, 51.4, 51.0, 52.0), "model", HIGH))
    assert "are the forces in eV/Å" in wrong
    assert "no better than that" in wrong
