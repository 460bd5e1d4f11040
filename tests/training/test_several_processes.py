"""A training on two processes is that on one, also when it goes on with another number of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def train(folder: Path, processes: int, stop: int = 0) -> list[dict[str, Any]]:
    """Train on so many processes; returns what each has found, nothing if they were to stop."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.several_processes", str(folder)]
    running = [
        subprocess.Popen([*command, str(processes), str(rank), port, str(stop)], cwd=ROOT, stderr=subprocess.PIPE)
        for rank in range(processes)
    ]
    for process in running:
        _, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors.decode()
    return [] if stop else [json.loads((folder / f"{processes}-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_are_one(tmp_path: Path) -> None:
    for name in ("one", "two", "from_two", "from_one"):
        (tmp_path / name).mkdir()
    (one,) = train(tmp_path / "one", 1)
    first, second = train(tmp_path / "two", 2)
    assert first["processes"] == 2
    assert first["scores"] == second["scores"]
    assert len(one["scores"]) > 10
    assert first["scores"] == pytest.approx(one["scores"], rel=1e-9)
    assert first["weights"] == pytest.approx(one["weights"], rel=1e-9)
    for name, before, after in (("from_two", 2, 1), ("from_one", 1, 2)):
        train(tmp_path / name, before, stop=8)
        assert (tmp_path / name / "stage.ckpt").exists()
        resumed = train(tmp_path / name, after)[0]
        assert resumed["scores"] == pytest.approx(one["scores"], rel=1e-9)
        assert resumed["weights"] == pytest.approx(one["weights"], rel=1e-9)
