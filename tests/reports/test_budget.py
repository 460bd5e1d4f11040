"""The rule of the budget panel: the arm with the smallest expected error for a price."""

import math

import numpy as np
import pytest
from scipy import stats

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.html.budget import ArmCurve, BudgetRule
from mfbench.benchmarks.reports.html.grid import arm_curves
from mfbench.benchmarks.reports.recommend import recommendation
from mfbench.mfcore.metrics.structures import structure_errors
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group

ARMS = {"single_fidelity": 20.0, "transfer": 10.0, "delta_labels": 10.5, "single_fidelity_all": 4.0}
METRIC, SPLIT = "force_mae_mev_per_A", "out_of_coverage"


def jitter(arm, draw, seed):
    return 1.0 + 0.03 * np.sin(3 * draw + len(arm) + seed)


@pytest.fixture(scope="module")
def rows():
    return make_rows(ARMS, draws=3, seeds=2, n_high=(25, 100, 400), spread=jitter)


def choose(arms, *, n_high, n_low, ratio):
    return BudgetRule(arms, n_low=n_low).choose(n_high, ratio)


def arm_curve(curve, **more):
    """An arm whose errors are alike on four groups of test structures."""
    groups = {n: structure_errors(dict.fromkeys(runs, np.ones(4)), np.ones(4)) for n, runs in curve.items()}
    return ArmCurve(curve, structures=groups, **more)


def test_two_arms_follow_students_t():
    """Differences of three draws are 1, 2 and 3 times 0.1: t = 2 √3 at two degrees of freedom."""
    first = {(0, 0): 1.0, (1, 0): 1.0, (2, 0): 1.0}
    second = {(0, 0): math.exp(0.1), (1, 0): math.exp(0.3), (2, 0): math.exp(0.2)}
    expected = stats.t.cdf(2.0 * math.sqrt(3.0), 2)
    # at the one measured size, and between two sizes that have the same errors
    for sizes in ((100,), (25, 100)):
        arms = {"a": arm_curve(dict.fromkeys(sizes, first)), "b": arm_curve(dict.fromkeys(sizes, second))}
        found = choose(arms, n_high=50, n_low=0, ratio=0)
        assert found.probability == pytest.approx(expected, abs=0.02)
        assert found.options[1].error == pytest.approx(math.exp(0.2))


@pytest.mark.parametrize("self_contained", [False, True])
@pytest.mark.parametrize("n_high", [25, 100, 400])
def test_at_a_measured_size_with_free_lf_labels_the_rule_is_the_recommendation(rows, n_high, self_contained):
    curves = arm_curves(results_by_group(rows).regimes[0], METRIC, SPLIT)
    if self_contained:
        curves = {arm: curve for arm, curve in curves.items() if traits(arm).self_contained}
    found = choose(curves, n_high=n_high, n_low=400, ratio=0)
    advised = recommendation(results_by_group(rows), self_contained=self_contained)
    (advised,) = (r for title, r in advised.items() if f"n_high = {n_high}," in title)
    assert found.arm == advised.arm
    assert {option.arm: option.probability for option in found.options} == dict(advised.probabilities)


def test_lf_labels_are_paid_for_by_those_who_use_them():
    """Of 100 HF and 400 LF labels at a tenth of the price, the LF labels are worth 40 HF labels."""
    prices = (100.0, 400.0, 0.1)
    assert ArmCurve({}).bought(*prices) == pytest.approx(100.0)
    assert ArmCurve({}, uses_low=False).bought(*prices) == pytest.approx(140.0)
    assert ArmCurve({}, low_per_high=1).bought(*prices) == pytest.approx(100.0 / 1.1)


@pytest.mark.parametrize("arm", [ArmCurve({}), ArmCurve({}, uses_low=False), ArmCurve({}, low_per_high=1)])
def test_every_arm_spends_the_whole_budget(arm):
    assert arm.cost(arm.bought(100.0, 400.0, 0.3), 400.0, 0.3) == pytest.approx(100.0 + 400.0 * 0.3)


def test_needs_of_the_arms_come_from_their_factories(rows):
    curves = arm_curves(results_by_group(rows).regimes[0], METRIC, SPLIT)
    assert (curves["single_fidelity"].uses_low, curves["transfer"].uses_low) == (False, True)
    assert (curves["delta_labels"].low_per_high, curves["transfer"].low_per_high) == (1, 0)
    paired = results_by_group(rows.assign(pairing="paired")).regimes[0]
    assert arm_curves(paired, METRIC, SPLIT)["delta_labels"].low_per_high == 0
    assert "single_fidelity_all" not in curves


def law(amplitude, exponent, sizes=(25, 100, 400), draws=4, noise=0.01):
    """Errors amplitude · n^(-exponent), each draw off by up to `noise` in a way of its own."""
    return {
        n: {
            (d, s): amplitude * n**-exponent * (1 + noise * math.sin(7 * d + amplitude))
            for d in range(draws)
            for s in (0, 1)
        }
        for n in sizes
    }


def test_between_and_beyond_the_sizes_a_power_law_stays_a_power_law():
    arms = {"a": arm_curve(law(100.0, 0.5, noise=0.0)), "b": arm_curve(law(90.0, 0.3), uses_low=False)}
    for n in (20.0, 60.0, 100.0, 550.0):
        found = choose(arms, n_high=n, n_low=0, ratio=0)
        (option,) = [o for o in found.options if o.arm == "a"]
        assert option.error == pytest.approx(100.0 * n**-0.5, rel=1e-9)
        assert option.state == "judged"


def test_cheap_hf_labels_change_the_arm():
    """Single fidelity needs four times the HF labels: it wins once they cost no more than the LF labels save."""
    arms = {"single": arm_curve(law(200.0, 0.5), uses_low=False), "transfer": arm_curve(law(100.0, 0.5))}
    dear = choose(arms, n_high=50, n_low=400, ratio=0.001)
    cheap = choose(arms, n_high=50, n_low=400, ratio=1)
    assert (dear.arm, cheap.arm) == ("transfer", "single")
    assert min(dear.probability, cheap.probability) > 0.99
    assert "over 4 draws and 4 groups of test structures (16 runs)" in dear.reason


def test_an_arm_that_could_buy_more_than_was_measured_keeps_the_others_from_being_named():
    arms = {"single": arm_curve(law(200.0, 0.5), uses_low=False), "transfer": arm_curve(law(20.0, 0.5))}
    found = choose(arms, n_high=50, n_low=4000, ratio=1)
    assert found.arm is None
    assert "single could buy more HF labels than were measured" in found.reason
    better = {**arms, "single": arm_curve(law(2.0, 0.5), uses_low=False)}
    assert choose(better, n_high=50, n_low=4000, ratio=1).arm == "single"


def test_an_arm_that_can_buy_fewer_than_were_measured_is_not_named():
    arms = {"delta": arm_curve(law(10.0, 0.5), low_per_high=1), "transfer": arm_curve(law(100.0, 0.5))}
    found = choose(arms, n_high=25, n_low=0, ratio=1)
    assert found.arm is None
    assert "with so few it was not measured" in found.reason
    worse = {**arms, "delta": arm_curve(law(1000.0, 0.5), low_per_high=1)}
    assert choose(worse, n_high=25, n_low=0, ratio=1).arm == "transfer"


def test_the_rule_abstains():
    equal = choose(dict.fromkeys("ab", arm_curve(law(10.0, 0.5))), n_high=50, n_low=0, ratio=0)
    assert "A and b may each be the best at 95 % confidence" in equal.reason
    assert [option.probability for option in equal.options] == [0.5, 0.5]
    arms = {"a": arm_curve(law(10.0, 0.5), n_failed={100: 1}), "b": arm_curve(law(90.0, 0.5))}
    at = {"n_low": 0, "ratio": 0}
    assert choose(arms, n_high=100, **at).arm is None
    assert choose(arms, n_high=60, **at).arm is None  # on the line to the size with failures
    assert choose(arms, n_high=25, **at).arm == "a"
    one_draw = {"a": arm_curve(law(10.0, 0.5, draws=1)), "b": arm_curve(law(90.0, 0.5, draws=1))}
    assert "a verdict needs at least 3" in choose(one_draw, n_high=50, **at).reason
    assert "Fewer than two arms" in choose({"a": arms["a"]}, n_high=50, **at).reason
    empty = choose({**arms, "c": ArmCurve({25: {}})}, n_high=25, **at)
    assert (empty.arm, [o.state for o in empty.options]) == ("a", ["judged", "judged", "none"])
