"""Runs in worker processes that are killed at random moments: in the end there is what there is undisturbed.

All commands, each in one process, are killed in `test_faults`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.commands import Commands, hidden, rows_of

#: Seconds within which a command is killed: from its first imports to its end.
LATEST_S = 12.0


def go_on(commands: Commands, words: list[object], rng: random.Random, kills: int) -> int:
    """Kill a command some times and let it end then; the number of kills that met it alive."""
    met = sum(commands.killed(words, rng.uniform(0.5, LATEST_S)) for _ in range(kills))
    code, out, err = commands.call(words)
    assert code == 0, (out, err)
    return met


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Runs that nothing has disturbed."""
    commands = Commands(tmp_path_factory.mktemp("stored"), pause_s=0.0)
    code, out, err = commands.call(commands.run())
    assert code == 0, (out, err)
    return commands


KILLS = [pytest.param(2, 0), *(pytest.param(8, seed, marks=pytest.mark.slow) for seed in range(1, 4))]


@pytest.mark.parametrize(("kills", "seed"), KILLS)
def test_run(stored: Commands, tmp_path: Path, kills: int, seed: int) -> None:
    commands = Commands(tmp_path / "runs", pause_s=0.0)
    commands.preset, words = stored.preset, commands.run()
    words[1] = stored.preset  # the same runs
    go_on(commands, words, random.Random(seed), kills)
    assert rows_of(commands.runs) == rows_of(stored.runs)
    assert hidden(commands.folder) == []
    assert not (commands.runs / "work").exists()
