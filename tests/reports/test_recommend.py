"""Recommendations read from rows."""

import numpy as np

from mfbench.benchmarks.reports import recommendation
from mfbench.benchmarks.reports.recommend import advice
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows


def jitter(arm, draw, seed):
    return 1.0 + 0.01 * np.sin(3 * draw + len(arm) + seed)


def test_the_clearly_best_arm_is_named_for_each_set_size():
    rows = make_rows({"good": 10.0, "poor": 20.0, "single_fidelity_all": 1.0}, draws=3, n_high=(25, 100), spread=jitter)
    found = recommendation(Results(rows))
    assert [r.arm for r in found.values()] == ["good", "good"]
    assert all(r.probability > 0.8 and "single_fidelity_all" not in r.probabilities for r in found.values())


def test_one_run_per_arm_names_none():
    (found,) = recommendation(Results(make_rows({"good": 10.0, "poor": 20.0}))).values()
    assert found.arm is None
    assert "two draws" in found.reason


def test_equal_arms_name_none():
    (found,) = recommendation(Results(make_rows({"a": 10.0, "bb": 10.0}, draws=3, spread=jitter))).values()
    assert found.arm is None
    assert found.probability < 0.8


def test_the_metric_and_split_can_be_chosen():
    """By forces `a` is better, by energies `b`."""
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=3, spread=jitter)
    energies = (rows["metric"] == "energy_mae_mev_per_atom") & (rows["arm"] == "a")
    rows.loc[energies, "value"] *= 10
    (by_force,) = recommendation(Results(rows)).values()
    (by_energy,) = recommendation(Results(rows), "energy_mae_mev_per_atom", "in_coverage").values()
    assert (by_force.arm, by_energy.arm) == ("a", "b")
    assert advice(Results(rows).cells[0]).startswith("By force_mae_mev_per_A, out_of_coverage: a is best")


def test_an_arm_with_failed_runs_is_not_named():
    (found,) = recommendation(
        Results(make_rows({"a": 10.0, "b": 20.0}, draws=3, seeds=2, spread=jitter, failed=[("a", 0, 0)]))
    ).values()
    assert found.arm is None
    assert found.n_failed == {"a": 1}


def test_the_best_self_contained_arm_is_named_beside_one_that_needs_calculations():
    rows = make_rows({"delta_labels": 5.0, "transfer": 10.0, "multi_head": 20.0}, draws=3, spread=jitter)
    (cell,) = Results(rows).cells
    text = advice(cell)
    assert "delta_labels is best" in text
    assert "Of the arms that need no LF calculation to predict, transfer is best" in text
    (alone,) = recommendation(Results(rows), self_contained=True).values()
    assert alone.arm == "transfer"
    assert "delta_labels" not in alone.probabilities


def test_without_an_arm_that_needs_calculations_one_sentence_is_enough():
    for arms in ({"a": 10.0, "b": 20.0}, {"delta_labels": 5.0, "a": 10.0}):
        (cell,) = Results(make_rows(arms, draws=3, spread=jitter)).cells
        text = advice(cell)
        assert "LF calculation" not in text
