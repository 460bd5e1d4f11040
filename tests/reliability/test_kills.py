"""Commands that are killed at random moments: what they make in the end is what they make undisturbed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import mfbench
from mfbench.mfcore.provenance import tensors_hash
from tests.reliability.commands import Commands, hidden, rows_of, user_files

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


WRITTEN: dict[str, Callable[[Commands, Path], list[object]]] = {
    "report": lambda c, out: ["report", c.runs, "--format", "html", "--out", out / "page.html"],
    "export": lambda c, out: ["export", c.runs, out / "rows.csv.gz"],
    "table": lambda c, out: ["report", c.runs, "--format", "json", "--out", out / "rows.json"],
}


@pytest.mark.parametrize(("kills", "seed"), [pytest.param(8, seed, marks=pytest.mark.slow) for seed in range(2)])
@pytest.mark.parametrize("words", WRITTEN.values(), ids=WRITTEN)
def test_what_is_written(
    stored: Commands,
    tmp_path: Path,
    words: Callable[[Commands, Path], list[object]],
    kills: int,
    seed: int,
) -> None:
    out = tmp_path / "out"
    command = words(stored, out)
    go_on(stored, command, random.Random(seed), 0)
    right = {p.name: p.read_bytes() for p in out.iterdir()}
    rng = random.Random(seed)
    for _ in range(kills):
        stored.killed(command, rng.uniform(0.5, LATEST_S))
        for name, content in right.items():  # the old file or the new one, whole, and both are the same
            assert (out / name).read_bytes() == content
    go_on(stored, command, rng, 0)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == right


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_fit(tmp_path: Path, seed: int) -> None:
    commands, folder = Commands(tmp_path / "here"), tmp_path / "user"
    files = user_files(folder)
    words = files.fit()
    go_on(commands, words, random.Random(seed), 0)
    right = weights(files.out)
    files.out.rename(tmp_path / "first")
    rng, met = random.Random(seed), 0
    for _ in range(8):
        if files.out.exists():
            files.out.rename(tmp_path / f"again-{rng.random()}")
        met += commands.killed(words, rng.uniform(0.5, LATEST_S))
    if not files.out.exists():
        go_on(commands, words, rng, 0)
    for folder_of_model in (files.out, *tmp_path.glob("again-*")):
        assert weights(folder_of_model) == right
    commands.call(words)  # it is there already; what killed ones have left is swept
    assert hidden(folder) == []


def weights(folder: Path) -> list[str]:
    return [tensors_hash(core.state_dict()) for core in mfbench.load(folder).cores]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_regress(stored: Commands, tmp_path: Path, seed: int) -> None:
    baseline, rng = tmp_path / "base.json", random.Random(seed)
    words = ["regress", stored.runs, "--preset", stored.preset, "--baseline", baseline, "--update"]
    for _ in range(8):
        stored.killed(words, rng.uniform(0.5, LATEST_S))
        if baseline.exists():
            json.loads(baseline.read_text())
    go_on(stored, words, rng, 0)
    cells = json.loads(baseline.read_text())["cells"]
    go_on(stored, words, rng, 0)
    assert json.loads(baseline.read_text())["cells"] == cells
    assert hidden(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_tune(tmp_path: Path, seed: int) -> None:
    commands, rng = Commands(tmp_path / "here", pause_s=0.01), random.Random(seed)
    space = tmp_path / "space.yml"
    space.write_text("all:\n  shift: {low: -1.0, high: 1.0}\n")
    losses = []
    for name, kills in (("right", 0), ("killed", 8)):
        out = tmp_path / f"{name}.yml"
        words = ["tune", commands.preset, "--arm", "fake_steps", "--trials", 4, "--space", space, "--workers", 1]
        words += ["--out", out, "--runs", tmp_path / name]
        go_on(commands, words, rng, kills)
        losses.append([line for line in out.read_text().splitlines() if "loss" in line or "shift" in line])
        assert hidden(tmp_path / name) == []
    assert losses[0] == losses[1]
