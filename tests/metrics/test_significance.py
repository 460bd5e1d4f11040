"""Tests of paired differences against enumeration by hand."""

import itertools

import numpy as np
import pytest

from mfbench.mfcore.metrics.significance import holm, sign_flip_test, t_test, wilcoxon_test


def by_enumeration(differences):
    observed = abs(sum(differences))
    signs = itertools.product([1, -1], repeat=len(differences))
    totals = [abs(sum(s * d for s, d in zip(pattern, differences, strict=True))) for pattern in signs]
    return np.mean([total >= observed - 1e-12 for total in totals])


@pytest.mark.parametrize(
    "differences", [[1.0, 2.0, 3.0], [1.0, -2.0, 3.0, 0.5], [0.3, 0.3, -0.3, 1.0, 2.0, 5.0], [0.0, 0.0]]
)
def test_sign_flips_are_enumerated(differences):
    assert sign_flip_test(differences) == pytest.approx(by_enumeration(differences))


def test_six_differences_of_one_sign_give_two_in_sixty_four():
    assert sign_flip_test([1.0, 2.0, 1.5, 0.5, 3.0, 1.1]) == pytest.approx(2 / 64)
    assert wilcoxon_test([1.0, 2.0, 1.5, 0.5, 3.0, 1.1]) == pytest.approx(2 / 64)


def test_one_difference_proves_nothing():
    assert sign_flip_test([5.0]) == 1.0
    assert np.isnan(t_test([5.0]))


def test_many_differences_are_sampled_reproducibly():
    differences = np.random.default_rng(0).normal(0.4, 1.0, 40)
    p = sign_flip_test(differences, n_resamples=4000)
    assert p == sign_flip_test(differences, n_resamples=4000)
    assert p == pytest.approx(t_test(differences), rel=0.3)


def test_wilcoxon_by_enumeration_of_ranks():
    """Ranks 1..4 with rank 1 negative: W- = 1, and of 16 patterns two give W- <= 1; twice that, two-sided."""
    assert wilcoxon_test([-1.0, 2.0, 3.0, 4.0]) == pytest.approx(4 / 16)


def test_wilcoxon_with_ties_and_zeros():
    assert wilcoxon_test([0.0, 0.0, 0.0]) == 1.0
    assert wilcoxon_test([1.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == pytest.approx(2 / 64)
    assert 0.0 < wilcoxon_test([0.0, 1.0, 1.0, -1.0]) <= 1.0


def test_t_test_by_hand():
    """Mean 2, standard error 1/√3 · ... of (1, 2, 3): t = 2√3 at two degrees of freedom, p = 0.0742."""
    assert t_test([1.0, 2.0, 3.0]) == pytest.approx(0.07417990)
    assert t_test([2.0, 2.0]) == 0.0
    assert t_test([0.0, 0.0]) == 1.0


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04, 0.30 times 4, 3, 2, 1, made monotone and cut at one."""
    adjusted = holm({"a": 0.04, "b": 0.01, "c": 0.30, "d": 0.02})
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert adjusted == pytest.approx({"b": 0.04, "d": 0.06, "a": 0.08, "c": 0.30})
    assert holm({"a": 0.01, "b": 0.011}) == pytest.approx({"a": 0.02, "b": 0.02})
    assert holm({"a": 0.9, "b": 0.8})["a"] == 1.0


def test_holm_leaves_out_tests_that_were_not_made():
    adjusted = holm({"a": 0.03, "b": float("nan")})
    assert adjusted["a"] == pytest.approx(0.03)
    assert np.isnan(adjusted["b"])


@pytest.mark.parametrize("test", [sign_flip_test, wilcoxon_test, t_test])
@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [[1.0]]])
def test_bad_differences_are_refused(test, bad):
    with pytest.raises(ValueError, match="differences"):
        test(bad)
