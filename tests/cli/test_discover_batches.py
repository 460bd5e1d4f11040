"""Materials are relaxed many at once, and by workers one by one, so that a lost worker tells which it had."""

from __future__ import annotations

import warnings

import pytest
from ase.build import bulk

from mfbench.benchmarks.discovery.materials import Material
from mfbench.benchmarks.discovery.relaxations import relaxed_here
from mfbench.benchmarks.discovery.workers import Chunk, Model, relax_chunk
from mfbench.mfcore.potentials.calculator import PotentialCalculator
from mfbench.mfcore.potentials.potential import Component, Potential
from tests.potentials.test_potential import make_core

SETTINGS = {"fmax": 1e-9, "max_steps": 2}


@pytest.fixture
def potential() -> Potential:
    return Potential("single_fidelity", [make_core(readout_scale=0.3)], {"high": (Component(0, "high"),)})


@pytest.fixture
def materials() -> tuple[Material, ...]:
    return tuple(Material(f"m{k}", bulk("GaN", "wurtzite", a=3.2 + 0.02 * k, c=5.2)) for k in range(4))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of frames that the networks see together."""
    counts: list[int] = []
    original = PotentialCalculator.calculate_many

    def watched(self: PotentialCalculator, frames: list[object]) -> object:
        counts.append(len(frames))
        return original(self, frames)

    monkeypatch.setattr(PotentialCalculator, "calculate_many", watched)
    return counts


def test_a_worker_relaxes_one_by_one_in_order(
    potential: Potential, materials: tuple[Material, ...], seen: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(Model, "potential", lambda self: potential)
    told: list[str] = []
    relax_chunk(Chunk(Model(tmp_path, "high"), materials, SETTINGS), lambda line: told.append(line.material_id))
    assert told == ["m0", "m1", "m2", "m3"]
    assert set(seen) == {1}


def test_here_they_share_batches_and_the_caller_keeps_its_warnings(
    potential: Potential, materials: tuple[Material, ...], seen: list[int]
) -> None:
    before = list(warnings.filters)
    found = set()
    for line in relaxed_here(materials, potential, "high", **SETTINGS):
        assert list(warnings.filters) == before
        found.add(line.material_id)
    assert found == {"m0", "m1", "m2", "m3"}
    assert max(seen) == 4
