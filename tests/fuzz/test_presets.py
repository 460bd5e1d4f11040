"""Mutated presets: refused with file and key, or they ask for exactly what they say, within their folder."""

from __future__ import annotations

import random
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfbench.benchmarks.harness.plan import MOST_RUNS, expand, leaves, load_preset
from mfbench.benchmarks.harness.presets import Preset
from mfbench.strategies.registry import arm_class
from tests.fuzz import mutate
from tests.fuzz.watch import Watch

LONG = 1200
RICH = """\
name: rich
summary: everything that a preset may have
tasks:
  - task: molecular_cc
    regimes: {n_low: [100], n_high: [10, 20], labels: ["low=EF,high=EF"], coverage: [full], e0: [default]}
    arms: [single_fidelity, multi_fidelity, transfer]
    core: [equivariant, {name: equivariant, channels: 16}]
    repeats: 2
    budget: {rule: converged, atom_gradients: 1000.0, patience: 5, n_high: {10: 500.0}}
    settings: {core: {cutoff: 4.0, lmax: 1, channels: [8, 4]}, training: {learning_rate: 0.005, batch_frames: 4}}
    arm_settings:
      transfer:
        training: {ema: 0.9}
    observables:
      stability: {temperatures_k: [300.0, 600.0], duration_ps: 0.1, starts: 2}
      transport: {duration_ps: 60.0, blocks: 4}
    expected_us_per_atom_gradient: 50.0
"""
SAME = ("seeds", "draws", "repeats", "expected_us_per_atom_gradient", "task", "settings", "arm_settings", "arms")
WORDS = re.compile(r"true|false|null|~|yes|no|on|off|\d_")
ARMS = ("single_fidelity", "multi_fidelity", "transfer", "multi_head", "delta_model", "delta_labels", "low_fidelity")


def sources() -> list[str]:
    folder = resources.files("mfbench.benchmarks") / "presets"
    return [RICH, RICH, *((folder / f"{name}.yml").read_text(encoding="utf-8") for name in ("quick", "regress"))]


def plain(value: Any) -> Any:
    """Values as numbers where they are numbers, as text or as number alike."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def other_values(source: str, chance: random.Random) -> str:
    """A preset with other values; most of the changes are within its task."""
    content = yaml.safe_load(source)
    if chance.random() < 0.15:
        return yaml.safe_dump(mutate.values(content, chance))
    return yaml.safe_dump(content | {"tasks": [mutate.values(content["tasks"][0], chance), *content["tasks"][1:]]})


def check(path: Path, seed: int, watch: Watch) -> str:
    chance = random.Random(seed)
    source = chance.choice(sources())
    text = mutate.text(source, chance) if seed % 2 else other_values(source, chance)
    content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(mutate.data(content, chance) if seed % 8 == 1 else content)

    def case() -> Preset:
        preset = load_preset(str(path))
        runs = expand(
            preset,
            tasks=["molecular_cc", "h2co", "h2co_3level", "ingan", "li6ps5cl"],
            arms=ARMS,
            needs_all_high=lambda arm: arm_class(arm).needs_all_high,
        )
        assert 0 < len(runs) <= MOST_RUNS
        for run in {(run.arm, run.core_name): run for run in runs}.values():
            arm_class(run.arm)(run.settings if run.core is None else run.core.over(run.settings))
        return preset

    preset = watch.run(case)
    if preset is None:
        return "refused"
    runs = path.parent / "results" / "runs"
    assert (runs / preset.name).resolve().parent == runs.resolve()
    given = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # all scalars as they are written
    for plan, text in zip(preset.tasks, given["tasks"], strict=True):
        found = plan.model_dump(mode="json")
        for key in SAME:
            if key in text and "<<" not in str(text):
                shown = str(text[key]).lower()
                if not any(
                    sign in shown.lower() for sign in ("true", "false", "null", "~", "yes", "no", "on", "off", "_")
                ):
                    assert plain(found[key]) == plain(text[key]), key
        assert all(value == value for value in leaves(found).values())
    return "accepted"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_mutated_presets(tmp_path: Path, seed: int) -> None:
    check(tmp_path / "mine.yml", seed, Watch())


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_mutated_presets(tmp_path: Path) -> None:
    watch = Watch()
    ends = [check(tmp_path / "mine.yml", seed, watch) for seed in range(LONG)]
    print(f"\npresets: {watch}")  # noqa: T201
    assert len(ends) >= 1000
    assert 0.05 < ends.count("accepted") / len(ends) < 0.95
