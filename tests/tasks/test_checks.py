"""Faults of a task of another package are sentences that name task, frame and key, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.checks import check_hashes
from mfbench.mfcore.errors import ConfigError
from tests.tasks.toy import ToyTask, toy_frames


def changed(change: Callable[[list[Any]], None]) -> Callable[[Any], list[Any]]:
    def load(self: Any) -> list[Any]:
        frames = toy_frames()
        change(frames)
        return frames

    return load


FAULTS: dict[str, tuple[str, Any, str]] = {
    "no id": ("load", changed(lambda f: f[3].info.pop("structure_id")), "frame 3: no key 'structure_id'"),
    "no group": ("load", changed(lambda f: f[4].info.pop("group")), "frame 4: no key 'group'"),
    "one id twice": (
        "load",
        changed(lambda f: f[2].info.update(structure_id="CH4-0")),
        "frame 2, key 'structure_id': 'CH4-0' is the one of frame 0",
    ),
    "nan": (
        "load",
        changed(lambda f: f[5].info.update(low_energy=float("nan"))),
        r"frame 5 \('CH4-5'\), key 'low_energy': nan; expected a finite number",
    ),
    "raises": ("load", lambda self: 1 / 0, r"load\(\) raised ZeroDivisionError: division by zero \(test_checks.py:"),
    "nothing": ("load", lambda self: [], r"load\(\) gave an empty list"),
    "no pools": ("pools", lambda self, draw: None, r"pools\(\) gave None; expected Pools"),
    "no tests": ("pools", lambda self, draw: replace(ToyTask().pools(0), tests={}), "the tests .* an empty dict"),
    "empty test": (
        "pools",
        lambda self, draw: replace(ToyTask().pools(0), tests={"in_coverage": []}),
        "no frame for the test split 'in_coverage'",
    ),
    "unlabelled test": (
        "pools",
        lambda self, draw: replace(ToyTask().pools(0), tests={"in_coverage": [self.frames[85]]}),
        "frame 'CH3OH-1' of 'in_coverage': no energy under key 'high_energy'",
    ),
    "one fidelity": ("fidelities", ("high",), r"key 'fidelities': found \('high',\); expected two names or more"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_task_is_refused_by_name(fault: str) -> None:
    name, given, sentence = FAULTS[fault]
    task = type("Faulty", (ToyTask,), {name: given})()
    with pytest.raises(ConfigError, match=f"^task 'toy'.*{sentence}"):
        task.split(Regime(n_low=20, n_high=8), 0)


def test_hashes_have_to_be_text_by_text() -> None:
    task = type("Faulty", (ToyTask,), {"data_hashes": lambda self: None})()
    with pytest.raises(ConfigError, match=r"^task 'toy': data_hashes\(\) gave None; expected the sha256"):
        check_hashes(task, task.data_hashes())
    assert check_hashes(task, ToyTask().data_hashes()) == {"toy": "0" * 64}
