"""Recommendations read from rows."""

import numpy as np

from mfbench.benchmarks.reports import recommendation
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.recommend import advice
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import make_details, results_by_group


def jitter(arm, draw, seed):
    return 1.0 + 0.01 * np.sin(3 * draw + len(arm) + seed)


def test_the_clearly_best_arm_is_named_for_each_set_size():
    rows = make_rows({"good": 10.0, "poor": 20.0, "single_fidelity_all": 1.0}, draws=3, n_high=(25, 100), spread=jitter)
    found = recommendation(results_by_group(rows))
    assert [r.arm for r in found.values()] == ["good", "good"]
    assert all(r.probability > 0.8 and "single_fidelity_all" not in r.probabilities for r in found.values())


def test_one_run_per_arm_names_none():
    (found,) = recommendation(results_by_group(make_rows({"good": 10.0, "poor": 20.0}))).values()
    assert found.arm is None
    assert "a verdict needs at least 3" in found.reason
    assert np.isnan(found.probability)


def test_equal_arms_name_none():
    (found,) = recommendation(results_by_group(make_rows({"a": 10.0, "bb": 10.0}, draws=3, spread=jitter))).values()
    assert found.arm is None
    assert found.probability < 0.8


def test_the_metric_and_split_can_be_chosen():
    """By forces `a` is better, by energies `b`."""
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=3, spread=jitter)
    energies = (rows["metric"] == "energy_mae_mev_per_atom") & (rows["arm"] == "a")
    rows.loc[energies, "value"] *= 10
    (by_force,) = recommendation(results_by_group(rows)).values()
    (by_energy,) = recommendation(results_by_group(rows), "energy_mae_mev_per_atom", "in_coverage").values()
    assert (by_force.arm, by_energy.arm) == ("a", "b")
    assert advice(results_by_group(rows).cells[0]).startswith("By force_mae_mev_per_A, out_of_coverage: a is best")


def test_an_arm_with_failed_runs_is_not_named():
    (found,) = recommendation(
        results_by_group(make_rows({"a": 10.0, "b": 20.0}, draws=3, seeds=2, spread=jitter, failed=[("a", 0, 0)]))
    ).values()
    assert found.arm is None
    assert found.n_failed == {"a": 1}


def test_the_best_self_contained_arm_is_named_beside_one_that_needs_calculations():
    rows = make_rows({"delta_labels": 5.0, "transfer": 10.0, "multi_head": 20.0}, draws=3, spread=jitter)
    (cell,) = results_by_group(rows).cells
    text = advice(cell)
    assert "delta_labels is best" in text
    assert "Of the arms that need no LF calculation to predict, transfer is best" in text
    (alone,) = recommendation(results_by_group(rows), self_contained=True).values()
    assert alone.arm == "transfer"
    assert "delta_labels" not in alone.probabilities


def test_without_an_arm_that_needs_calculations_one_sentence_is_enough():
    for arms in ({"a": 10.0, "b": 20.0}, {"delta_labels": 5.0, "a": 10.0}):
        (cell,) = results_by_group(make_rows(arms, draws=3, spread=jitter)).cells
        text = advice(cell)
        assert "LF calculation" not in text


def test_without_errors_by_group_of_test_frames_no_probability_is_given():
    (cell,) = Results(make_rows({"a": 10.0, "b": 20.0}, draws=3, spread=jitter)).cells
    found = cell.recommendation()
    assert (found.arm, found.probabilities) == (None, {})
    assert "not stored with these runs" in found.reason
    assert (
        "On these, over 3 draws, a has the smallest error, and every other arm is significantly worse" in found.reason
    )


def test_two_molecules_are_too_few_for_a_probability():
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=3, spread=jitter)
    blocks = make_details(rows, "blocks")["blocks"]
    (found,) = recommendation(Results(rows, Details(tables={"blocks": blocks[blocks["group"] < "c"]}))).values()
    assert found.arm is None
    assert np.isnan(found.probability)
    assert "the test has 2 groups of structures, too few" in found.reason


def test_one_failed_run_leaves_the_evidence_of_the_others_as_it_is():
    arms = {"a": 10.0, "b": 11.0, "c": 12.0}

    def spread(arm, draw, seed):
        return 1.0 + 0.02 * np.sin(3 * draw + 5 * ord(arm))

    whole = results_by_group(make_rows(arms, draws=4, spread=spread)).cells[0].recommendation()
    failed = results_by_group(make_rows(arms, draws=4, spread=spread, failed=[("c", 1, 0)])).cells[0].recommendation()
    assert (whole.arm, failed.arm) == ("a", "a")
    assert "over 4 draws" in failed.reason
    rows = make_rows(arms, draws=4, spread=spread, failed=[("c", 1, 0), ("c", 2, 0)])
    two = results_by_group(rows).cells[0].recommendation()
    assert "Left out, with fewer than 3 finished draws: c (2)." in two.reason
    assert two.arm == "a"
