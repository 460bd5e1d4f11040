"""Contract of every task; inherit `TaskContract` and give it a task and regimes.

class TestMyTask(TaskContract):
    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return MyTask()

    regimes = (Regime(n_low=100, n_high=20),)
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from mfbench.benchmarks.observables.errors.scores import evaluate
from mfbench.benchmarks.tasks.base import Regime, Task
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.leakage import near_duplicates
from mfbench.mfcore.data.splits import groups_of, id_of
from mfbench.mfcore.data.validation import validate_frame
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import Label
from tests.tasks.toy import Oracle


def ids(frames) -> set[str]:
    return {id_of(a) for a in frames}


class TaskContract:
    """Contracts of splits, labels and scores."""

    regimes: ClassVar[tuple[Regime, ...]]
    n_high: ClassVar[tuple[int, ...]] = (5, 10, 20)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls) -> Task:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def splits(cls, task):
        return [(regime, task.split(regime, draw)) for regime in cls.regimes for draw in (0, 1)]

    def test_frames_are_valid_and_named_once(self, task):
        assert len(ids(task.frames)) == len(task.frames)
        for atoms in task.frames[:: max(1, len(task.frames) // 200)]:
            validate_frame(atoms)
            assert atoms.info["group"]
            assert atoms.calc is None

    def test_groups_of_training_validation_and_tests_are_disjoint(self, splits):
        for _, split in splits:
            trained = {g for frames in split.training.train.values() for g in groups_of(frames)}
            trained |= set(groups_of(split.ceiling.train[split.ceiling.high]))
            parts = [trained, set(groups_of(split.training.validation)), *map(groups_of, split.tests.values())]
            assert sum(map(len, parts)) == len(set().union(*parts))

    def test_no_test_or_validation_frame_has_a_near_duplicate_in_training(self, task, splits):
        for _, split in splits:
            trained = [a for frames in split.training.train.values() for a in frames]
            for held_out in (*split.tests.values(), split.training.validation):
                assert near_duplicates(trained, held_out, tolerance=task.duplicate_tolerance) == []

    def test_training_frames_have_the_labels_that_they_are_given_for(self, splits):
        for _, split in splits:
            for training in (split.training, split.ceiling):
                for name, frames in training.train.items():
                    assert frames
                    for label in training.labels[name].labels:
                        assert all(has_label(a, name, label) for a in frames)

    def test_held_out_frames_have_high_energies(self, task, splits):
        for _, split in splits:
            for frames in (*split.tests.values(), split.training.validation):
                assert frames
                assert all(has_label(a, task.high, Label.ENERGY) for a in frames)

    def test_sizes_are_as_asked_for(self, task, splits):
        for regime, split in splits:
            for name in task.fidelities:
                wanted = regime.n_high if name == task.high else regime.n_low
                if wanted != "all":
                    assert len(split.training.train[name]) == wanted
                assert len(ids(split.training.train[name])) == len(split.training.train[name])
            assert len(split.ceiling.train[task.high]) >= len(split.training.train[task.high])
            assert ids(split.training.train[task.high]) <= ids(split.ceiling.train[task.high])

    def test_pairing_is_kept(self, task, splits):
        for regime, split in splits:
            high = ids(split.training.train[task.high])
            for low in task.fidelities[:-1]:
                common = high & ids(split.training.train[low])
                assert common == (high if regime.pairing == "paired" else set())

    def test_tests_do_not_depend_on_regime_or_draw(self, splits):
        first = {name: ids(frames) for name, frames in splits[0][1].tests.items()}
        for _, split in splits:
            assert {name: ids(frames) for name, frames in split.tests.items()} == first

    def test_high_sets_are_nested_and_low_sets_depend_on_the_draw_alone(self, task):
        for regime in self.regimes:
            made = [task.split(regime.model_copy(update={"n_high": n}), 0) for n in self.n_high]
            chosen = [ids(s.training.train[task.high]) for s in made]
            for smaller, larger in pairwise(chosen):
                assert smaller < larger
            for low in task.fidelities[:-1]:
                if regime.n_low != "all":
                    assert len({frozenset(ids(s.training.train[low])) for s in made}) == 1
            assert len({frozenset(ids(s.training.validation)) for s in made}) == 1

    def test_draws_differ_and_repeat(self, task, splits):
        (regime, first), (_, second) = splits[:2]
        assert ids(first.training.train[task.high]) != ids(second.training.train[task.high])
        again = task.split(regime, 0)
        assert again.record == first.record
        for name in task.fidelities:
            assert [*map(id_of, again.training.train[name])] == [*map(id_of, first.training.train[name])]

    def test_the_record_is_plain_and_tells_splits_apart(self, splits):
        records = [json.dumps(split.record, sort_keys=True) for _, split in splits]
        assert len(set(records)) == len(records)

    def test_too_large_a_request_is_refused(self, task):
        for size in ({"n_high": 10**6}, {"n_low": 10**6}):
            with pytest.raises(ConfigError, match=next(iter(size))):
                task.split(self.regimes[0].model_copy(update=size), 0)

    def test_the_perfect_potential_has_no_errors_and_a_slope_of_one(self, task, splits):
        _, split = splits[0]
        rows = evaluate(Oracle(task.fidelities), split.tests, task.fidelities).rows
        assert {row["split"] for row in rows} == set(split.tests)
        assert {"energy_mae_mev_per_atom", "low_energy_mae_mev_per_atom", "force_mae_mev_per_A"} <= {
            row["metric"] for row in rows
        }
        for row in rows:
            assert row["value"] == pytest.approx(1.0 if row["metric"] == "force_slope" else 0.0, abs=1e-6)
            assert 0 < row["n"] <= len(split.tests[row["split"]])

    def test_known_errors_are_scored_as_they_are(self, task, splits):
        _, split = splits[0]
        oracle = Oracle([task.high], energy_error=0.003, force_error=-0.05)
        rows = {(r["split"], r["metric"]): r["value"] for r in evaluate(oracle, split.tests, task.fidelities).rows}
        for name in split.tests:
            assert rows[name, "energy_mae_mev_per_atom"] == pytest.approx(3.0)
            assert rows[name, "energy_rmse_mev_per_atom"] == pytest.approx(3.0)
            assert rows[name, "energy_detrended_mae_mev_per_atom"] == pytest.approx(0.0, abs=1e-6)
            assert rows[name, "force_mae_mev_per_A"] == pytest.approx(50.0)
            assert (name, "low_energy_mae_mev_per_atom") not in rows

    def test_label_cost_is_additive_or_unknown(self, task, splits):
        _, split = splits[0]
        for name, frames in split.training.train.items():
            labels = split.training.labels[name]
            cost = task.label_cost(frames, name, labels)
            halves = task.label_cost(frames[:3], name, labels) + task.label_cost(frames[3:], name, labels)
            assert np.isnan(cost) or cost == pytest.approx(halves)

    def test_hashes_are_sha256(self, task):
        hashes = task.data_hashes()
        assert hashes
        assert all(len(value) == 64 for value in hashes.values())
