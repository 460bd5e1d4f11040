"""Default budgets: passes within limits, and enough optimiser steps for frames of any size."""

from __future__ import annotations

import pytest
from ase import Atoms
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.harness.default_budget import OF_COMPARE, OF_FIT, DefaultBudget, atoms_per_step, in_words
from mfbench.mfcore.training.config import BATCH_ATOMS, TrainingConfig

DEFAULT = [TrainingConfig()]


def frames(size: int, number: int = 40) -> list[Atoms]:
    return [Atoms(f"H{size}") for _ in range(number)]


@pytest.mark.parametrize("rule", [OF_COMPARE, OF_FIT], ids=["compare", "fit"])
@pytest.mark.parametrize("number", [10, 400])
@pytest.mark.parametrize("size", [2, 6, 20, 100, 416, 3000])
def test_frames_of_any_size_get_their_steps(rule: DefaultBudget, size: int, number: int) -> None:
    data = frames(size, number)
    budget = rule.atom_gradients(data, DEFAULT)
    assert budget >= rule.least
    steps = budget / atoms_per_step(data, DEFAULT[0])
    assert steps >= rule.steps * (1 - 1e-9)
    if budget > max(rule.least, rule.passes * size * number):  # more than asked for: only for the sake of steps
        assert steps == pytest.approx(rule.steps)
    if size <= BATCH_ATOMS // 2:
        assert budget <= rule.most


def test_passes_are_held_within_limits() -> None:
    rule = DefaultBudget(10, 1e4, 1e5, 1)
    assert [rule.atom_gradients(frames(10, n), DEFAULT) for n in (1, 500, 5000)] == [1e4, 5e4, 1e5]


def test_a_step_is_what_the_settings_say() -> None:
    data = frames(10, 40)
    for config, size in (({}, 100), ({"batch_atoms": 40}, 40), ({"batch_frames": 5}, 50), ({"batch_edges": 9}, 10)):
        assert atoms_per_step(data, TrainingConfig(**config)) == size
    both = [TrainingConfig(batch_atoms=40), TrainingConfig(batch_frames=20)]
    assert OF_COMPARE.atom_gradients(frames(300), both) == OF_COMPARE.steps * 20 * 300


def test_what_a_budget_comes_to_is_said() -> None:
    said = in_words(832_000, frames(416, 20), DEFAULT)
    assert "8.32e+05 atom gradients, that is 100 passes over all atoms, or about 2,000 optimiser steps of 416" in said


@pytest.mark.parametrize(("command", "rule"), [("compare", OF_COMPARE), ("fit", OF_FIT)])
def test_help_states_the_rule(command: str, rule: DefaultBudget) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"}).stdout
    assert str(rule) in " ".join(shown.split())
