"""Naming an arm: with answers known by hand, and held to its error rates by simulation."""

import numpy as np
import pytest

from mfbench.mfcore.metrics.comparison import best_arms, compare_arms
from mfbench.mfcore.metrics.intervals import mean_interval
from mfbench.mfcore.metrics.recommendation import recommend
from mfbench.mfcore.metrics.structures import structure_errors


def runs(table):
    """Runs from a (draws, seeds) table."""
    return {(d, s): float(value) for d, row in enumerate(table) for s, value in enumerate(row)}


def same_on_all(errors, groups=5):
    """Structure errors of arms that err alike on all groups."""
    return {arm: structure_errors(dict.fromkeys(r, np.ones(groups)), np.ones(groups)) for arm, r in errors.items()}


def verdict(errors, groups=5, **more):
    return recommend(errors, same_on_all(errors, groups), **more)


def test_a_clear_winner_is_named():
    found = verdict({"good": runs([[1.0], [1.1], [0.9]]), "poor": runs([[9.0], [10.0], [11.0]])})
    assert found.arm == "good"
    assert found.probability > 0.98
    assert next(iter(found.probabilities)) == "good"
    assert found.ties == ("good",)
    assert "every other arm is significantly worse over 3 draws and 5 groups of test structures" in found.reason


def test_none_is_named_between_equals():
    found = verdict({"a": runs([[1.0], [1.2], [0.8]]), "b": runs([[1.1], [0.9], [1.0]])})
    assert found.arm is None
    assert found.probability < 0.8
    assert found.ties == ("a", "b")
    assert found.reason.startswith("a and b may each be the best at 95 % confidence; the most probable is")


@pytest.mark.parametrize("table", [[[1.0]], [[1.0, 1.1, 1.2]], [[1.0], [1.1]]])
def test_fewer_than_three_draws_give_no_probability(table):
    found = verdict({"a": runs(table), "b": runs(np.asarray(table) * 50)})
    assert found.arm is None
    assert np.isnan(found.probability)
    assert "a verdict needs at least 3" in found.reason


@pytest.mark.parametrize("groups", [1, 2])
def test_a_test_of_one_or_two_structures_gives_no_probability(groups):
    found = verdict({"a": runs([[1.0], [1.1], [0.9]]), "b": runs([[9.0], [10.0], [11.0]])}, groups)
    assert (found.arm, found.probabilities) == (None, {})
    assert f"the test has {groups} group" in found.reason


def test_test_structures_that_are_not_known_give_no_probability():
    found = recommend({"a": runs([[1.0], [1.1], [0.9]]), "b": runs([[9.0], [10.0], [11.0]])})
    assert (found.arm, found.probabilities) == (None, {})
    assert "errors by group of test structures are not stored" in found.reason


def test_an_arm_that_fails_is_not_named():
    good = runs([[1.0, 1.0], [1.1, 1.1], [0.9, 0.9]])
    del good[1, 1]
    found = verdict({"good": good, "poor": runs([[9.0, 9.0], [10.0, 9.9], [11.0, 11.1]])}, n_failed={"good": 1})
    assert found.arm is None
    assert found.probability > 0.8
    assert "good would be best" in found.reason
    assert "1 of its runs failed" in found.reason


def test_an_arm_that_failed_to_train_is_left_out_and_named():
    errors = {"a": runs([[1.0], [1.1], [0.9]]), "b": runs([[9.0], [10.0], [11.0]]), "flat": runs([[0.1], [0.1], [0.1]])}
    found = verdict(errors, untrained=["flat"])
    assert (found.arm, found.compared) == ("a", ("a", "b"))
    assert found.reason.endswith("Left out, since not better than a constant: flat.")


def test_without_two_arms_nothing_can_be_compared():
    assert "nothing can be compared" in recommend({"a": runs([[1.0], [2.0]]), "b": {}}).reason


# Simulations: log errors of (arms, draws, groups) are a mean and effects of draw and group that all arms share, of
# arm × draw (10 %), of arm × group ("structure"), and a rest.


def simulated(generator, means, draws, groups, structure, common=(0.1, 0.4), own=0.1, rest=0.05):
    """Errors by group of arms with given mean log errors, shape (arms, draws, groups)."""
    arms = len(means)
    logs = np.asarray(means)[:, None, None] + common[0] * generator.normal(size=(1, draws, 1))
    logs = logs + common[1] * generator.normal(size=(1, 1, groups)) + own * generator.normal(size=(arms, draws, 1))
    logs = logs + structure * generator.normal(size=(arms, 1, groups))
    return np.exp(logs + rest * generator.normal(size=(arms, draws, groups)))


def compared(values):
    errors = {str(a): {(d, d): float(value.mean()) for d, value in enumerate(arm)} for a, arm in enumerate(values)}
    groups = {
        str(a): structure_errors({(d, d): value for d, value in enumerate(arm)}, np.ones(values.shape[2]))
        for a, arm in enumerate(values)
    }
    return errors, compare_arms(errors, groups)


def rates(n, arms, groups, structure, draws=6):
    """Share of cases in which one of equal arms is named, and coverage of the ratio of two of them."""
    generator = np.random.default_rng([arms, groups, draws, round(100 * structure)])
    named = covered = 0
    for _ in range(n):
        _, comparison = compared(simulated(generator, np.zeros(arms), draws, groups, structure))
        named += len(best_arms(comparison)) == 1
        covered += 1.0 in comparison.ratio("0", "1")
    return named / n, covered / n


ARMS = [(arms, draws) for arms in (2, 3, 8, 16) for draws in (3, 4, 6)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("structure", [0.0, 0.1])
@pytest.mark.parametrize("groups", [3, 10, 30])
@pytest.mark.parametrize(("arms", "draws"), ARMS)
def test_equal_arms_are_seldom_named_and_intervals_cover(arms, draws, groups, structure):
    """Of 2,000 cases one of equal arms is named in at most 5 %, whether or not arms err differently by structure."""
    named, covered = rates(2000, arms, groups, structure, draws)
    assert named <= 0.05
    # The three standard errors of a simulation that has 97 % are 1.1 points. Fewer draws than six are less well known
    # than three groups: their intervals are on the safe side, but for two arms with three draws and ten groups that all
    # scatter alike, where 92 to 93 % are covered.
    assert (0.93 if draws > 3 else 0.92) <= covered <= (0.975 if draws > 4 else 0.99)


@pytest.mark.parametrize(
    ("arms", "groups", "structure", "draws"),
    [(2, 3, 0.1, 6), (2, 10, 0.0, 6), (3, 3, 0.1, 6), (2, 10, 0.0, 3), (2, 30, 0.1, 3), (2, 10, 0.0, 4)],
)
def test_equal_arms_are_seldom_named(arms, groups, structure, draws):
    """Quick form: 400 cases, with three standard errors of room."""
    named, covered = rates(400, arms, groups, structure, draws)
    assert named <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert 0.93 - 0.03 <= covered <= 1.0


@pytest.mark.parametrize("structure", [0.0, 0.1])
def test_scatter_over_test_structures_counts(structure):
    """Over runs alone, two arms that err differently on three molecules would be told apart in far too many cases."""
    generator = np.random.default_rng(1)
    n, named = 300, 0
    for _ in range(n):
        errors, _ = compared(simulated(generator, np.zeros(2), 6, 3, structure, own=0.02, rest=0.01))
        named += len(best_arms(compare_arms(errors))) == 1
    assert named / n > 0.5 if structure else named / n < 0.08


@pytest.mark.parametrize(("arms", "groups"), [(2, 3), (2, 10), (8, 3), (8, 10)])
def test_an_arm_that_leads_by_two_standard_errors_is_named(arms, groups):
    """Two of the standard errors that tables give as ±, which have in them what arms share: named in most cases."""
    generator = np.random.default_rng([arms, groups])
    n, named = 100, 0
    for _ in range(n):
        values = simulated(generator, np.zeros(arms), 6, groups, 0.1)
        over_draws = mean_interval({(d, 0): x for d, x in enumerate(np.log(values[0].mean(axis=1)))}).half_width / 2.57
        over_groups = np.log(values[0].mean(axis=0)).std(ddof=1) / np.sqrt(groups)
        values[0] *= np.exp(-2.0 * np.hypot(over_draws, over_groups))
        named += best_arms(compared(values)[1]) == ("0",)
    assert named / n > 0.5


@pytest.mark.slow
def test_no_wrong_arm_is_named_between_two_good_ones_among_poor_ones():
    """The best and a near equal among six poor arms: the case in which a threshold on a probability errs most."""
    generator = np.random.default_rng(7)
    wrong = sum(
        best_arms(compared(simulated(generator, [0.0, 1e-6, *[0.5] * 6], 6, 10, 0.1))[1]) == ("1",) for _ in range(1000)
    )
    assert wrong / 1000 <= 0.05
