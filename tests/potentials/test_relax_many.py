"""Frames that are relaxed at once end where each ends alone, whatever becomes of the others."""

from __future__ import annotations

import sys
import threading
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.potentials import relax_many as module
from mfbench.mfcore.potentials.calculator import PotentialCalculator
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.potentials.relax import How, Relaxation, relax
from mfbench.mfcore.potentials.relax_many import relax_many
from tests.potentials.test_potential import make_core


@pytest.fixture(scope="module")
def potential() -> Potential:
    core = make_core(readout_scale=0.3)
    core.scale[:] = 0.5
    return Potential("single_fidelity", [core], {"high": (Component(0, "high"),)})


def frames(n: int = 6) -> list[Atoms]:
    """Crystals of several sizes, and molecules, off their minima."""
    rng = np.random.default_rng(2)
    made = []
    for number in range(n):
        crystal = bulk("GaN", "wurtzite", a=3.2, c=5.2) * (1, 1, 1 + number % 2)
        atoms = crystal if number % 3 else molecule("CH3CH2NH2")
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        made.append(atoms)
    return made


def alone(atoms: Atoms, calculator: PotentialCalculator, how: How) -> Relaxation:
    return relax(atoms, calculator, fmax=how.fmax, max_steps=how.max_steps, fixed_cell=how.fixed_cell, fire=how.fire)


def assert_same(found: Relaxation, other: Relaxation) -> None:
    assert (found.steps, found.problem) == (other.steps, other.problem)
    assert found.last_energy_ev == pytest.approx(other.last_energy_ev, abs=1e-8, nan_ok=True)
    np.testing.assert_allclose(found.atoms.positions, other.atoms.positions, atol=1e-6)
    np.testing.assert_allclose(found.atoms.cell.array, other.atoms.cell.array, atol=1e-6)


@pytest.mark.parametrize("how", [How(0.05, 12), How(0.05, 12, fire=True), How(0.05, 12, fixed_cell=True)])
@pytest.mark.parametrize("batch_atoms", [1, 14, 1000])
def test_each_ends_where_it_ends_alone(potential: Potential, how: How, batch_atoms: int) -> None:
    starts = frames()
    kept = [a.copy() for a in starts]
    calculator = potential.calculator()
    found = dict(relax_many(starts, calculator, how, batch_atoms=batch_atoms))
    assert sorted(found) == list(range(len(starts)))
    for number, atoms in enumerate(starts):
        assert atoms == kept[number]
        assert_same(found[number], alone(atoms, calculator, how))
    assert len({r.steps for r in found.values()}) > 1 or any(r.problem for r in found.values())


def test_networks_see_many_frames_and_no_more_atoms_than_are_allowed(
    potential: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    original = PotentialCalculator.calculate_many

    def watched(self: PotentialCalculator, frames: list[Atoms]) -> object:
        seen.append([len(a) for a in frames])
        return original(self, frames)

    monkeypatch.setattr(PotentialCalculator, "calculate_many", watched)
    starts = frames()
    list(relax_many(starts, potential.calculator(), How(1e-9, 5, fire=True), batch_atoms=21))
    assert max(map(sum, seen)) <= 21
    assert max(map(len, seen)) >= 3
    assert sum(map(len, seen)) == len(starts) * 6  # five steps, and the start
    seen.clear()
    list(relax_many(starts, potential.calculator(), How(1e-9, 5, fire=True), batch_atoms=2))
    assert set(map(len, seen)) == {1}  # of larger ones than are allowed, one at a time


def test_one_that_fails_leaves_the_others_alone(potential: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PotentialCalculator.calculate_many

    def poisoned(self: PotentialCalculator, frames: list[Atoms]) -> list[object]:
        found: list[object] = list(original(self, frames))
        return [DataError("not finite.") if len(a) == 8 else answer for a, answer in zip(frames, found, strict=True)]

    how, starts = How(0.05, 8), frames()
    calculator = potential.calculator()
    wanted = [alone(a, calculator, how) for a in starts]
    monkeypatch.setattr(PotentialCalculator, "calculate_many", poisoned)
    found = dict(relax_many(starts, calculator, how))
    for number, atoms in enumerate(starts):
        if len(atoms) == 8:
            assert found[number].problem.startswith("energy, forces or stress are not finite")
            assert np.isnan(found[number].last_energy_ev)
        else:
            assert_same(found[number], wanted[number])


def relaxing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("relaxation")]


def test_an_error_of_the_potential_is_raised_and_no_thread_is_left(
    potential: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, filters = sys.stdout, list(warnings.filters)
    calls = []
    original = PotentialCalculator.calculate_many

    def broken(self: PotentialCalculator, frames: list[Atoms]) -> object:
        calls.append(1)
        if len(calls) > 3:
            raise MemoryError("no memory is left")
        return original(self, frames)

    monkeypatch.setattr(PotentialCalculator, "calculate_many", broken)
    with pytest.raises(MemoryError, match="no memory"):
        list(relax_many(frames(), potential.calculator(), How(1e-9, 50)))
    assert relaxing() == []
    assert sys.stdout is out
    assert list(warnings.filters) == filters


def test_an_error_within_a_relaxation_is_raised(potential: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("in the optimizer")

    monkeypatch.setattr(module, "relaxed", broken)
    with pytest.raises(ZeroDivisionError):
        list(relax_many(frames(), potential.calculator()))
    assert relaxing() == []


def test_who_takes_only_the_first_leaves_no_thread(potential: Potential) -> None:
    some = relax_many(frames(), potential.calculator(), How(0.05, 6), batch_atoms=1000)
    number, found = next(some)
    assert 0 <= number < 6
    assert isinstance(found, Relaxation)
    some.close()
    assert relaxing() == []


def test_starts_are_taken_as_they_are_needed(potential: Potential) -> None:
    taken = []

    def starts() -> object:
        for atoms in frames():
            taken.append(len(atoms))
            yield atoms

    some = relax_many(starts(), potential.calculator(), How(0.05, 3), batch_atoms=8)
    next(some)
    assert len(taken) < 6
    some.close()


def test_a_start_that_cannot_be_is_an_error(potential: Potential) -> None:
    met = Atoms("GaN", positions=[(0, 0, 0), (0, 0, 0)], cell=[3, 3, 3], pbc=True)
    with pytest.raises(DataError, match="at one place"):
        list(relax_many([*frames(2), met], potential.calculator(), How(0.05, 4)))
    assert relaxing() == []


def test_other_calculators_take_one_after_the_other() -> None:
    starts = [bulk("Cu", a=a, cubic=True) for a in (3.5, 3.7)] + [fcc111("Cu", (1, 1, 3), vacuum=6)]
    found = dict(relax_many(starts, EMT(), How(0.01)))
    for number, atoms in enumerate(starts):
        assert_same(found[number], relax(atoms, EMT(), fmax=0.01))
        assert found[number].converged
