"""Scores of a stability classification."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.metrics.discovery import stability_scores

# by hand: 2 hits, 1 miss, 1 false alarm, 4 rightly unstable
REFERENCE = [-0.10, 0.00, -0.02, 0.05, 0.10, 0.20, 0.30, 0.40]
PREDICTED = [-0.05, 0.00, 0.03, -0.01, 0.12, 0.15, 0.35, 0.30]


def test_the_confusion_matrix_by_hand() -> None:
    scores = stability_scores(REFERENCE, PREDICTED)
    counts = (scores.true_positives, scores.false_negatives, scores.false_positives, scores.true_negatives)
    assert counts == (2, 1, 1, 4)
    assert (scores.n, scores.n_stable, scores.n_missing) == (8, 3, 0)
    assert_allclose([scores.precision, scores.recall, scores.f1], 2 / 3)
    assert scores.daf == pytest.approx((2 / 3) / (3 / 8))
    assert scores.accuracy == 6 / 8
    assert scores.false_positive_rate == 1 / 5
    assert scores.mae_ev_per_atom == pytest.approx((0.05 + 0 + 0.05 + 0.06 + 0.02 + 0.05 + 0.05 + 0.10) / 8)
    squares = 4 * 0.05**2 + 0.06**2 + 0.02**2 + 0.10**2
    assert scores.rmse_ev_per_atom == pytest.approx(math.sqrt(squares / 8))
    assert scores.r2 == pytest.approx(1 - squares / (8 * np.var(REFERENCE)))


def test_a_missing_prediction_is_unstable_and_stays_in_the_counts() -> None:
    predicted = [math.nan, math.nan, *PREDICTED[2:7], math.nan]  # two hits and one rightly unstable are lost
    scores = stability_scores(REFERENCE, predicted)
    assert (scores.n, scores.n_missing, scores.true_positives, scores.false_negatives) == (8, 3, 0, 3)
    assert scores.true_negatives == 4
    assert scores.accuracy == 4 / 8
    assert scores.mae_ev_per_atom == pytest.approx((0.05 + 0.06 + 0.02 + 0.05 + 0.05) / 5)
    assert scores.f1 == 0


def test_a_material_at_the_threshold_is_stable() -> None:
    at, above = 0.05, np.nextafter(0.05, 1)
    scores = stability_scores([at, above], [above, at], threshold_ref=0.05)
    assert (scores.false_negatives, scores.false_positives) == (1, 1)


def test_reference_and_prediction_may_have_thresholds_of_their_own() -> None:
    strict, loose = ({"threshold_ref": 0.0, "threshold_pred": limit} for limit in (-0.02, 0.03))
    assert stability_scores(REFERENCE, PREDICTED, **strict).true_positives == 1
    assert stability_scores(REFERENCE, PREDICTED, **loose).true_positives == 3
    both = stability_scores(REFERENCE, PREDICTED, threshold_ref=0.05)
    assert both == stability_scores(REFERENCE, PREDICTED, threshold_ref=0.05, threshold_pred=0.05)
    assert (both.n_stable, both.true_positives) == (4, 4)


def test_limits_that_need_no_arithmetic() -> None:
    perfect = stability_scores(REFERENCE, REFERENCE)
    assert (perfect.f1, perfect.accuracy, perfect.r2, perfect.mae_ev_per_atom) == (1, 1, 1, 0)
    assert perfect.daf == pytest.approx(8 / 3)  # the largest there is: 1 / prevalence
    everything = stability_scores(REFERENCE, np.full(8, -1.0))
    assert everything.daf == pytest.approx(1)  # no better than drawing at random
    nothing = stability_scores(REFERENCE, np.full(8, 1.0))
    assert (nothing.f1, nothing.recall) == (0, 0)
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.daf)
    none_stable = stability_scores([0.1, 0.2], [0.1, 0.3])
    assert math.isnan(none_stable.f1)
    assert math.isnan(none_stable.recall)
    silent = stability_scores([-0.1, 0.2], [math.nan, math.nan])
    assert math.isnan(silent.mae_ev_per_atom)
    assert math.isnan(stability_scores([0.1, 0.1], [0.1, 0.2]).r2)


def test_the_acceleration_may_be_relative_to_another_prevalence() -> None:
    assert stability_scores(REFERENCE, PREDICTED, prevalence=0.1).daf == pytest.approx(20 / 3)


def test_an_exploded_prediction_is_not_left_out() -> None:
    scores = stability_scores([-0.1, 0.1, 0.3], [math.inf, 0.1, 0.3])
    assert (scores.false_negatives, scores.n_missing) == (1, 0)
    assert scores.mae_ev_per_atom == scores.rmse_ev_per_atom == math.inf
    assert scores.r2 == -math.inf


distances = st.floats(-2, 2).map(lambda x: round(x, 3))


@given(pairs=st.lists(st.tuples(distances, distances | st.just(math.nan)), min_size=1, max_size=40), data=st.data())
def test_what_must_not_matter(pairs, data) -> None:
    reference, predicted = map(np.array, zip(*pairs, strict=True))
    scores = stability_scores(reference, predicted, threshold_ref=0.1)
    assert scores.n == scores.true_positives + scores.false_positives + scores.false_negatives + scores.true_negatives
    order = data.draw(st.permutations(range(len(pairs))))
    permuted = stability_scores(reference[order], predicted[order], threshold_ref=0.1)
    assert_allclose(list(asdict(permuted).values()), list(asdict(scores).values()), rtol=1e-9, atol=1e-12)
    # in units twice as large, exact in binary: every ratio stays
    scaled = stability_scores(reference * 2, predicted * 2, threshold_ref=0.2)
    same = ("f1", "precision", "recall", "daf", "accuracy", "false_positive_rate", "n_missing")
    assert_allclose([getattr(scaled, name) for name in same], [getattr(scores, name) for name in same])


@given(st.lists(st.tuples(distances, distances), min_size=2, max_size=40))
def test_a_prediction_left_out_never_helps(pairs) -> None:
    reference, predicted = map(np.array, zip(*pairs, strict=True))
    right = stability_scores(reference, predicted)
    hits = np.flatnonzero((reference <= 0) & (predicted <= 0))
    if len(hits):
        predicted[hits[0]] = math.nan
        assert stability_scores(reference, predicted).f1 < right.f1


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="one shape"):
        stability_scores([0.1], [0.1, 0.2])
    with pytest.raises(ValueError, match="threshold"):
        stability_scores([0.1], [0.1], threshold_ref=math.nan)
    with pytest.raises(DataError, match="nothing to score"):
        stability_scores([], [])
    with pytest.raises(DataError, match=r"material 1 \(and 1 others\)"):
        stability_scores([0.1, math.nan, math.inf], [0.1, 0.2, 0.3])
