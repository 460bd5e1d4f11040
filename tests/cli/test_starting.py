"""Options on networks and their checkpoints (`mfbench.benchmarks.user.networks`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfbench.benchmarks.user.networks import chosen_cores
from mfbench.benchmarks.user.options import check_arms
from mfbench.mfcore.errors import ConfigError


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
