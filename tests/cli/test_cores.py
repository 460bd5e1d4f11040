"""Commands choose cores, and say which arms a core leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.usefixtures("fakes")
def test_commands_say_which_arms_are_left_out_and_why(call: Any, tmp_path: Path) -> None:
    plan = {
        "task": "fake_task",
        "arms": ["transfer", "multi_head"],
        "budget": {"atom_gradients": 100},
        "regimes": {"n_low": [10], "n_high": [9], "coverage": ["full"]},
    }
    path = tmp_path / "mine.yml"
    path.write_text(json.dumps({"name": "mine", "tasks": [plan]}))
    out = str(tmp_path / "out")
    reason = "multi_head: it needs heads, and core 'fake_pair' has none, embedding only"
    for command in (("run", "--dry-run"), ("plan",)):
        result = call(*command, str(path), "--core", "fake_pair", "--out", out)
        assert result.exit_code == 0
        assert f"left out: fake_task {reason}." in result.stdout
        assert "fake_pair" in result.stdout
        assert "left out" not in call(*command, str(path), "--out", out).stdout
    written = json.loads(call("plan", str(path), "--core", "fake_pair", "--format", "json", "--out", out).stdout)
    assert [arm["arm"] for arm in written["left_out"]] == ["multi_head"]
    assert {regime["core"] for regime in written["regimes"]} == {"fake_pair"}
    assert f"left out on core fake_pair: {reason}." in call("list", "arms").stdout
    cores = call("list", "cores").stdout
    assert "fake_pair" in cores
    assert "none, embedding" in cores
