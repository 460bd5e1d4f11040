"""Tuned settings for a user's files: over their own, with the names of their levels, and of another core refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfbench.benchmarks.harness.user_tuned import tuned_for
from mfbench.benchmarks.tuning.settings_file import TunedSettings, write_tuned
from mfbench.mfcore.errors import ConfigError


def write(folder: Path, weighted: str = "ccsdt", **changes: Any) -> Path:
    provenance = {
        "command": "mfbench tune quick",
        "date": "2026-01-01",
        "versions": {},
        "preset": "quick",
        "regime": {},
        "seed": 0,
        "draw": 0,
        "data": {"a": "0" * 64},
        "split": "0",
        "n_validation": 10,
        "loss": {},
        "sampler": "tpe",
        "sampler_seed": 0,
        "space": "default",
        "space_sha256": "0",
        "rule": "equal-compute",
        "atom_gradients": {"multi_fidelity": 1000.0},
    }
    arm = {"trials": 7, "failed": 0, "atom_gradients": 7000.0, "validation_loss": 1.0, "first_validation_loss": 2.0}
    arm["losses"] = [1.0] * 7
    training = {"loss": {"fidelity_weights": {weighted: 3.0}}, "learning_rate": 0.005}
    content = {
        "task": "molecular_cc",
        "provenance": provenance | changes,
        "arms": {
            "multi_fidelity": arm | {"settings": {"training": training}},
            "transfer": arm | {"settings": {"pretrain_share": 0.4}},
        },
    }
    path = folder / "tuned.yml"
    write_tuned(path, TunedSettings.model_validate(content))
    return path


OWN = {"training": {"learning_rate": 0.02, "batch_frames": 8}}


def test_tuned_settings_go_over_own_ones_and_their_fidelities_get_the_users_names(tmp_path: Path) -> None:
    found = tuned_for(
        write(tmp_path), OWN, ["pbe", "scan"], ["multi_fidelity", "transfer", "multi_head"], ["equivariant"]
    )
    assert set(found.settings) == {"multi_fidelity", "transfer"}
    training = found.settings["multi_fidelity"]["training"]
    assert training == {"learning_rate": 0.005, "batch_frames": 8, "loss": {"fidelity_weights": {"scan": 3.0}}}
    assert found.settings["transfer"] == OWN | {"pretrain_share": 0.4}
    assert found.tuning["transfer"].trials == 7
    (note,) = found.notes
    assert "tuned on task 'molecular_cc' by 7 trials each, not on your files" in note


def test_settings_of_another_core_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, core="another")
    with pytest.raises(ConfigError, match=r"tuned\.yml: tuned on core 'another', and core 'equivariant' is to be"):
        tuned_for(path, {}, ["a", "b"], ["transfer"], ["equivariant"])


def test_a_file_without_the_arm_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(ConfigError, match=r"has no settings of delta_model, only of multi_fidelity, transfer"):
        tuned_for(path, {}, ["a", "b"], ["delta_model"], ["equivariant"])
    with pytest.raises(ConfigError, match="no such file; mfbench tune writes one"):
        tuned_for(tmp_path / "none.yml", {}, ["a", "b"], ["transfer"], ["equivariant"])


def test_weights_of_levels_that_there_are_not_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, weighted="wb97x")
    tuned_for(path, {}, ["a", "b"], ["multi_fidelity"], ["equivariant"])
    with pytest.raises(ConfigError, match=r"fidelity_weights\.wb97x"):
        tuned_for(path, {}, ["only"], ["multi_fidelity"], ["equivariant"])
