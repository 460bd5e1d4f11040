"""Contract of every strategy; a new arm inherits `StrategyContract` and names itself."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms

import mfbench
from mfbench.mfcore.data.frames import energy_of, forces_of
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import BudgetError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import HIGH, LOW, PairCalculator, tiny_settings

BUDGET = Budget(4000)


class StrategyContract:
    """Inherit, set `arm`, and the whole suite runs on it."""

    arm: ClassVar[str]
    label_regimes: ClassVar[tuple[str, ...]] = ("EF", "E")
    beats_composition: ClassVar[bool] = True

    @classmethod
    def fit(cls, data: TrainingSet, budget: Budget = BUDGET, seed: int = 1, **extra: object) -> Potential:
        settings = tiny_settings(precision="float64", **extra)
        return make_arm(cls.arm, settings).fit(data, budget, seed)

    @pytest.fixture(scope="class")
    @classmethod
    def potential(cls, training_set: TrainingSet) -> Potential:
        return cls.fit(training_set)

    def test_answers_for_the_target_last(self, potential: Potential) -> None:
        assert potential.arm == self.arm
        assert potential.fidelities[-1] == HIGH

    def test_energies_are_total_energies_in_ev(self, potential: Potential, held_out_frames: list[Atoms]) -> None:
        """Reference energies of −2,040 eV are in; what is left is smaller than composition alone leaves."""
        reference = np.array([energy_of(a, HIGH) for a in held_out_frames])
        error = potential.predict(held_out_frames).energies - reference
        spread = np.concatenate([reference[k] - reference[k].mean() for k in self.compositions(held_out_frames)]).std()
        assert np.abs(error).max() < 5.0
        if self.beats_composition:
            assert error.std() < 0.6 * spread

    @staticmethod
    def compositions(frames: list[Atoms]) -> list[np.ndarray]:
        sizes = np.array([len(a) for a in frames])
        return [np.flatnonzero(sizes == n) for n in np.unique(sizes)]

    def test_forces_are_minus_the_gradient(self, potential: Potential, held_out_frames: list[Atoms]) -> None:
        base = PairCalculator(LOW) if potential.requires_low_labels else None
        atoms, step = held_out_frames[0], 1e-4
        forces = potential.predict([atoms], base=base).forces[0]
        for atom in range(len(atoms)):
            for axis in range(3):
                energies = []
                for sign in (1, -1):
                    moved = atoms.copy()
                    moved.positions[atom, axis] += sign * step
                    energies.append(float(potential.predict([moved], forces=False, base=base).energies[0]))
                slope = (energies[0] - energies[1]) / (2 * step)
                assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)

    def test_calculator_gives_what_predict_gives(self, potential: Potential, held_out_frames: list[Atoms]) -> None:
        base = PairCalculator(LOW) if potential.requires_low_labels else None
        atoms = Atoms(held_out_frames[0].numbers, positions=held_out_frames[0].positions)
        atoms.calc = potential.calculator("high", base=base)
        out = potential.predict(held_out_frames[:1])
        assert atoms.get_potential_energy() == pytest.approx(float(out.energies[0]), abs=1e-8)
        np.testing.assert_allclose(atoms.get_forces(), out.forces[0], atol=1e-8)

    def test_learned_more_than_the_mean_force(self, potential: Potential, held_out_frames: list[Atoms]) -> None:
        predicted = np.concatenate(potential.predict(held_out_frames).forces)
        reference = np.concatenate([forces_of(a, HIGH) for a in held_out_frames])
        assert np.abs(predicted - reference).mean() < 0.6 * np.abs(reference).mean()

    def test_saves_and_loads_to_the_same_predictions(
        self, potential: Potential, held_out_frames: list[Atoms], tmp_path: Path
    ) -> None:
        potential.save(tmp_path / "model")
        again = mfbench.load(tmp_path / "model")
        before, after = potential.predict(held_out_frames), again.predict(held_out_frames)
        np.testing.assert_array_equal(before.energies, after.energies)
        np.testing.assert_array_equal(np.concatenate(before.forces), np.concatenate(after.forces))
        assert again.fidelities == potential.fidelities
        assert again.ledger.as_dict() == potential.ledger.as_dict()

    def test_spends_no_more_than_its_budget_and_books_it(self, potential: Potential) -> None:
        assert 0.8 * BUDGET.atom_gradients < potential.ledger.atom_gradients <= BUDGET.atom_gradients
        assert potential.ledger.atom_gradients == sum(s.atom_gradients for s in potential.ledger.stages)

    def test_refuses_a_budget_that_buys_nothing(self, training_set: TrainingSet) -> None:
        with pytest.raises(BudgetError, match="atom gradients"):
            self.fit(training_set, Budget(1.5))

    def test_records_reference_energies(self, potential: Potential) -> None:
        assert potential.record["reference_energies"]
        for entry in potential.record["reference_energies"].values():
            assert all(np.isfinite(entry["values"]))

    def test_same_seed_same_potential_other_seed_another(
        self, training_set: TrainingSet, held_out_frames: list[Atoms]
    ) -> None:
        small = Budget(400)
        one, same, other = (self.fit(training_set, small, seed) for seed in (3, 3, 4))
        energies = [p.predict(held_out_frames, forces=False).energies for p in (one, same, other)]
        np.testing.assert_array_equal(energies[0], energies[1])
        assert np.abs(energies[0] - energies[2]).max() > 1e-6

    def test_resumed_equals_uninterrupted(
        self, training_set: TrainingSet, held_out_frames: list[Atoms], tmp_path: Path
    ) -> None:
        """Cut at every check; each further call goes on, and the last one ends with the same bits."""
        small, settings = Budget(800), tiny_settings(precision="float64", checkpoint_s=0.0)
        whole = make_arm(self.arm, settings).fit(training_set, small, 5)

        class Cut(Exception):
            pass

        calls = 0

        def cutting(stage: str, spent: float, budget: float) -> None:
            nonlocal calls
            calls += 1
            if calls in (2, 4):
                raise Cut

        resumed, cuts = None, 0
        while resumed is None:
            try:
                resumed = make_arm(self.arm, settings).fit(training_set, small, 5, progress=cutting, workdir=tmp_path)
            except Cut:
                cuts += 1
        assert cuts == 2
        first, second = whole.predict(held_out_frames), resumed.predict(held_out_frames)
        np.testing.assert_array_equal(first.energies, second.energies)
        np.testing.assert_array_equal(np.concatenate(first.forces), np.concatenate(second.forces))
        assert resumed.ledger.atom_gradients == whole.ledger.atom_gradients

    def test_learns_from_energies_alone(self, training_set: TrainingSet, held_out_frames: list[Atoms]) -> None:
        """HF forces that the regime hides must not change anything."""
        labels = {LOW: LabelSet.parse("EF"), HIGH: LabelSet.parse("E")}
        shown = TrainingSet(training_set.fidelities, training_set.train, labels, training_set.validation)
        stripped_train, stripped_validation = (
            self.without_high_forces(training_set.train[HIGH]),
            self.without_high_forces(training_set.validation),
        )
        hidden = TrainingSet(
            training_set.fidelities,
            {LOW: training_set.train[LOW], HIGH: stripped_train},
            labels,
            stripped_validation,
        )
        one, two = (self.fit(data, Budget(400)).predict(held_out_frames) for data in (shown, hidden))
        np.testing.assert_array_equal(one.energies, two.energies)

    @staticmethod
    def without_high_forces(frames: list[Atoms]) -> list[Atoms]:
        stripped = [a.copy() for a in frames]
        for atoms in stripped:
            del atoms.arrays[f"{HIGH}_forces"]
        return stripped
