"""Options on networks and their checkpoints.

Modules: mfbench.benchmarks.user.networks, mfbench.benchmarks.harness.named_checkpoints.
"""

from __future__ import annotations

import json
import pickle
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from ase import Atoms

from mfbench.benchmarks.user import networks
from mfbench.benchmarks.user.networks import chosen_cores, say_start
from mfbench.benchmarks.user.options import check_arms
from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.cores.starting_points import found_checkpoint
from mfbench.mfcore.errors import ConfigError
from mfbench.strategies.starting_point import Start


def test_a_checkpoint_is_of_one_core(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    checkpoint = str(tmp_path / "model")
    (found,) = chosen_cores(None, checkpoint, {}, trust=True)
    assert (found.name, found.checkpoint) == ("equivariant", checkpoint)
    assert [entry.name for entry in chosen_cores(["equivariant"], None, {}, trust=False)] == ["equivariant"]
    with pytest.raises(ConfigError, match="it is of one core, and 2 are given"):
        chosen_cores(["equivariant", "sevennet"], checkpoint, {}, trust=False)
    with pytest.raises(ConfigError, match="there is no file nowhere"):
        chosen_cores(None, "nowhere", {}, trust=False)


def test_a_comparison_without_lf_frames_needs_a_checkpoint(tmp_path: Path) -> None:
    options = {"high": str(tmp_path / "high.xyz")}
    with pytest.raises(ConfigError, match="no LF frames to compare with"):
        check_arms(None, options)
    check_arms(None, options, starts=True)
    with pytest.raises(ConfigError, match="transfer_replay"):
        check_arms(["transfer_replay"], options, starts=True)


def unpickled(path: Path) -> pickled.Content:
    return {"weight": torch.zeros(1)}, pickle.loads(path.read_bytes())


@pytest.fixture
def pickles(fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the checkpoints of the core `fake_pair` pickles."""

    def find(checkpoint: str) -> Any:
        found = found_checkpoint(checkpoint, "fake_pair")
        pickled.content_of(found.path, "fake_pair", "numpy", unpickled)
        return found

    def trust(checkpoint: str) -> None:
        pickled.trust(found_checkpoint(checkpoint, "fake_pair").path, "fake_pair", unpickled)

    monkeypatch.setattr(pickled, "kernel_folder", lambda: tmp_path / "cache" / "kernels")
    (tmp_path / "cache").mkdir()
    pickled._content_of.cache_clear()
    monkeypatch.setattr(core_class("fake_pair"), "find_checkpoint", find)
    monkeypatch.setattr(core_class("fake_pair"), "trust_checkpoint", trust)


@pytest.mark.usefixtures("pickles")
@pytest.mark.parametrize("key", ["core", "settings"])
@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run")])
def test_a_checkpoint_that_a_preset_names_is_unpickled_where_it_is_trusted(
    call: Any, tmp_path: Path, key: str, command: tuple[str, ...]
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(pickle.dumps({"cutoff": 4.0}))
    start = {"name": "fake_pair", "checkpoint": str(weights)}
    plan = {
        "task": "fake_task",
        "arms": ["transfer"],
        "budget": {"atom_gradients": 100},
        "regimes": {"n_low": [10], "n_high": [9], "coverage": ["full"]},
        key: start if key == "core" else {"core": start},
    }
    preset = tmp_path / "mine.yml"
    preset.write_text(json.dumps({"name": "mine", "tasks": [plan]}))
    given = (*command, str(preset), "--out", str(tmp_path / "out"))
    refused = call(*given)
    assert refused.exit_code != 0
    assert "--trust-checkpoint" in refused.output
    assert not (tmp_path / "out").exists()
    assert call(*given, "--trust-checkpoint").exit_code == 0
    assert call(*given).exit_code == 0  # it is kept without code


@pytest.mark.usefixtures("pickles")
def test_a_checkpoint_of_runs_that_are_not_chosen_is_not_read(call: Any, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"no pickle")
    cores = ["equivariant", {"name": "fake_pair", "checkpoint": str(weights)}]
    plan = {"task": "fake_task", "arms": ["transfer"], "budget": {"atom_gradients": 100}, "core": cores}
    regimes = {"n_low": [10], "n_high": [9], "coverage": ["full"]}
    preset = tmp_path / "mine.yml"
    preset.write_text(json.dumps({"name": "mine", "tasks": [plan | {"regimes": regimes}]}))
    given = ("run", "--dry-run", str(preset), "--trust-checkpoint", "--out", str(tmp_path / "out"))
    assert call(*given, "--core", "equivariant").exit_code == 0
    assert "not a checkpoint that core 'fake_pair' can read" in call(*given).output


def test_how_a_checkpoint_compares_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    telling = SimpleNamespace(say=said.append, waiting=lambda text: nullcontext())
    choice = SimpleNamespace(checkpoint="SevenNet-0", build=lambda *given: None)
    monkeypatch.setattr(networks, "CoreChoice", SimpleNamespace(model_validate=lambda content: choice))
    monkeypatch.setattr(networks, "examine", lambda *given: Start(4, 2.0, 12.0, 60.0, 0.85, 0.8, 0.9))
    labels: Any = None
    say_start(cast(Any, telling), {"core": {}}, [Atoms("Li")], "pbe", labels)
    (line,) = said
    assert line.startswith("SevenNet-0 on 4 'pbe' frames, untrained: energies are off by +2.000 eV/atom")
    assert "; its forces are 0.85 (0.80 to 0.90) times the labels" in line
    assert line.endswith("mend.")
