"""`mfbench info`: what a bug report needs, and no more of the machine than that."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mfbench.benchmarks.cli.info import requirements
from mfbench.benchmarks.cli.main import app


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("MFBENCH_DATA", str(Path("/home/someone/data")))
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    done = CliRunner().invoke(app, ["info"])
    assert done.exit_code == 0, done.output
    assert "hunter2" not in done.output
    assert "someone" not in done.output
    return {
        name.strip(): value.strip() for name, _, value in (line.partition("  ") for line in done.output.splitlines())
    }


def test_it_has_versions_machine_extras_and_variables(told: dict[str, str]) -> None:
    assert told["mfbench"] == version("mfbench")
    assert told["torch"] == version("torch") or told["torch"] == torch.__version__
    assert told["extra test"] == "installed" or told["extra test"].startswith("lacks ")
    assert told["torch threads"] == str(torch.get_num_threads())
    assert "MFBENCH_DATA=~/data" in told["environment"]
    assert {"python", "platform", "CPU", "GPUs", "convolution: backend on the CPU"} <= told.keys()


def test_requirements_are_those_of_the_metadata() -> None:
    needed, extras = requirements()
    assert {"torch", "ase", "typer"} <= set(needed)
    assert "hypothesis" in extras["test"]
    assert "hypothesis" not in needed
    assert all(name and "=" not in name for name in (*needed, *(name for names in extras.values() for name in names)))
