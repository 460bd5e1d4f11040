"""Regimes, the contract on a toy task, and refusals."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from mfbench.benchmarks.observables.errors.scores import evaluate
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.registry import make_task, task_names
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.splits import groups_of, id_of
from mfbench.mfcore.errors import ConfigError, LeakageError
from tests.contracts.task import TaskContract
from tests.tasks.toy import Oracle, ToyTask


class TestToyTask(TaskContract):
    regimes = (
        Regime(n_low=20, n_high=8),
        Regime(n_low=30, n_high=10, pairing="paired", coverage="full"),
        Regime(n_low=20, n_high=4, labels="low=E,high=EF", coverage="full"),
    )
    n_high = (2, 4, 8)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return ToyTask()


def test_gap_restricts_high_training_and_validation_only():
    task = ToyTask()
    gap, full = (task.split(Regime(n_low=20, n_high="all", coverage=c), 0) for c in ("gap", "full"))
    assert sorted(groups_of(gap.training.train["high"])) == ["CH4", "H2O", "NH3"]
    assert sorted(groups_of(full.training.train["high"])) == ["C2H4", "CH4", "H2O", "NH3"]
    assert sorted(groups_of(gap.training.train["low"])) == ["C2H4", "CH4", "H2O", "NH3"]
    assert len(gap.training.train["high"]) == 18
    assert len(gap.ceiling.train["high"]) == len(full.ceiling.train["high"]) == 24
    assert gap.record["n_high_forces"] == {"in_coverage": 6, "out_of_coverage": 3}


def test_the_smallest_high_set_has_every_element():
    task = ToyTask()
    for draw in range(5):
        high = task.split(Regime(n_low=20, n_high=3), draw).training.train["high"]
        assert {"C", "O", "N"} <= {s for a in high for s in a.get_chemical_symbols()}


def test_paired_without_low_labels_is_refused():
    task = ToyTask()
    for atoms in task.frames[::2]:
        del atoms.info["low_energy"]
    with pytest.raises(ConfigError, match="no labels of 'low'"):
        task.split(Regime(n_low=30, n_high=8, pairing="paired"), 0)


def test_disjoint_with_nothing_left_for_low_is_refused():
    task = ToyTask()
    for atoms in task.frames[1::2]:
        del atoms.info["low_energy"]
    with pytest.raises(ConfigError, match="every frame with 'low' labels"):
        task.split(Regime(n_low="all", n_high="all", coverage="full"), 0)


def test_low_sets_leave_to_high_what_is_reserved_and_may_have_the_rest():
    class Reserving(ToyTask):
        reserved_high = 6

    def low_ids(task, n_high):
        training = task.split(Regime(n_low=30, n_high=n_high, coverage="full"), 0).training
        assert not {id_of(a) for a in training.train["low"]} & {id_of(a) for a in training.train["high"]}
        return {id_of(a) for a in training.train["low"]}

    high = {id_of(a) for a in ToyTask().frames if np.isfinite(energy_of(a, "high"))}
    assert len(low_ids(ToyTask(), 3) & high) == 6  # 24 frames have no HF label; all of those are taken first
    few, more = (low_ids(Reserving(), n) for n in (3, 6))
    assert few == more
    assert len(few & high) > 6


def test_a_task_whose_tests_leak_is_refused():
    class Copied(ToyTask):
        def pools(self, draw):
            pools = super().pools(draw)
            copy = pools.training[0].copy()
            copy.info |= {"structure_id": "copy", "group": "copy", "high_energy": 0.0}
            copy.rotate(30, "x")
            return replace(pools, tests={"in_coverage": [*pools.tests["in_coverage"], copy]})

    class Shared(ToyTask):
        def pools(self, draw):
            pools = super().pools(draw)
            return replace(pools, tests={"in_coverage": list(pools.validation)})

    with pytest.raises(LeakageError, match="'copy' is 'CH4-0'"):
        Copied().split(Regime(n_low="all", n_high=8), 0)
    with pytest.raises(LeakageError, match="C2H2"):
        Shared().split(Regime(n_low=20, n_high=8), 0)


def test_regime_refuses_nonsense():
    for bad in (
        {"n_high": 0},
        {"n_low": "some"},
        {"labels": "low=EF,high=X"},
        {"pairing": "both"},
        {"unknown": 1},
    ):
        with pytest.raises(ValidationError):
            Regime(**bad)


def test_label_regimes_are_canonical_and_complete():
    assert Regime(labels="high=E,low=FE").labels == "low=EF,high=E"
    sets = Regime(labels="low=E,b=EF,high=E").label_sets(("a", "b", "c"))
    assert {k: str(v) for k, v in sets.items()} == {"a": "E", "b": "EF", "c": "E"}
    with pytest.raises(ConfigError, match="nothing for 'b'"):
        Regime(labels="low=E").label_sets(("a", "b"))
    with pytest.raises(ConfigError, match="unknown fidelity typo"):
        Regime(labels="low=E,typo=E,high=E").label_sets(("a", "b"))


def test_forces_are_predicted_only_where_they_are_scored():
    task = ToyTask()
    tests = task.split(task.default_regime, 0).tests
    oracle = Oracle(["high"])
    rows = evaluate(oracle, {"in_coverage": tests["in_coverage"]}, ("low", "high")).rows
    assert sorted(oracle.asked) == [("high", 6, False), ("high", 6, True)]
    n = {r["metric"]: r["n"] for r in rows}
    assert n["energy_mae_mev_per_atom"] == 12
    assert n["force_mae_mev_per_A"] == 6


def test_low_retention_is_scored_on_low_labels():
    task = ToyTask()
    tests = task.split(task.default_regime, 0).tests
    rows = {r["metric"]: r for r in evaluate(Oracle(["low", "high"], 0.001, 0.02), tests, ("low", "high")).rows}
    assert rows["low_energy_mae_mev_per_atom"]["value"] == pytest.approx(1.0)
    assert rows["low_force_mae_mev_per_A"]["value"] == pytest.approx(20.0)


def test_evaluation_changes_no_frame():
    task = ToyTask()
    split = task.split(task.default_regime, 0)
    before = [(id_of(a), a.positions.copy(), sorted(a.info)) for f in split.tests.values() for a in f]
    evaluate(Oracle(task.fidelities), split.tests, task.fidelities)
    after = [(id_of(a), a.positions, sorted(a.info)) for f in split.tests.values() for a in f]
    assert all(x[0] == y[0] and (x[1] == y[1]).all() and x[2] == y[2] for x, y in zip(before, after, strict=True))


def test_registry():
    assert {"molecular_cc", "h2co"} <= set(task_names())
    assert make_task("molecular_cc").name == "molecular_cc"
    with pytest.raises(ConfigError, match=r"'nothing'.*molecular_cc"):
        make_task("nothing")


def test_details_add_up_to_the_rows():
    """Blocks, weighted, give the row; predictions give the errors again."""
    task = ToyTask()
    tests = task.split(task.default_regime, 0).tests
    found = evaluate(Oracle(["low", "high"], 0.001, 0.02), tests, ("low", "high"))
    values = {(r["split"], r["metric"]): r["value"] for r in found.rows}
    for split, metric in {(b["split"], b["metric"]) for b in found.details["blocks"]}:
        blocks = [b for b in found.details["blocks"] if (b["split"], b["metric"]) == (split, metric)]
        mean = np.average([b["value"] for b in blocks], weights=[b["weight"] for b in blocks])
        assert mean == pytest.approx(values[split, metric])
        assert {b["group"] for b in blocks} <= {str(a.info["group"]) for a in tests[split]}
    high = [p for p in found.details["predictions"] if (p["split"], p["fidelity"]) == ("in_coverage", "high")]
    assert len(high) == len(tests["in_coverage"])
    assert np.mean([abs(p["energy_pred_ev"] - p["energy_ref_ev"]) / p["n_atoms"] for p in high]) == pytest.approx(1e-3)
    forces = np.concatenate([np.subtract(p["force_pred"], p["force_ref"]) for p in high])
    assert np.abs(forces).mean() == pytest.approx(0.02, rel=1e-5)
    assert {len(p["force_ref"]) for p in high} == {0} | {3 * p["n_atoms"] for p in high if p["force_ref"]}
