"""The rule of the budget panel: the arm with the smallest expected error for a price."""

import math

import numpy as np
import pytest

from mfbench.benchmarks.reports.html.budget import ArmCurve, choose, labels_bought, normals, probabilities
from mfbench.benchmarks.reports.html.data import arm_curves
from mfbench.benchmarks.reports.recommend import recommendation
from mfbench.benchmarks.reports.results import Results
from mfbench.mfcore.metrics.comparison import compare_arms, probability_best
from tests.reports.synthetic import make_rows

ARMS = {"single_fidelity": 20.0, "transfer": 10.0, "delta_labels": 10.5, "single_fidelity_all": 4.0}
METRIC, SPLIT = "force_mae_mev_per_A", "out_of_coverage"


def jitter(arm, draw, seed):
    return 1.0 + 0.03 * np.sin(3 * draw + len(arm) + seed)


@pytest.fixture(scope="module")
def rows():
    return make_rows(ARMS, draws=3, seeds=2, n_high=(25, 100, 400), spread=jitter)


def test_quasi_random_normals_are_normal_and_independent():
    z = normals(21)
    assert z.shape[1] == 21
    assert np.abs(z.mean(axis=0)).max() < 0.005
    assert np.abs(z.std(axis=0) - 1.0).max() < 0.01
    assert np.abs(np.corrcoef(z.T) - np.eye(21)).max() < 0.04
    assert (np.abs(z) > 1.959964).mean() == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(("arms", "draws"), [(2, 2), (3, 2), (9, 2), (6, 5)])
def test_probabilities_are_those_of_the_comparison(arms, draws):
    rng = np.random.default_rng(arms * draws)
    table = 0.2 * rng.normal(size=(arms, 1)) + 0.1 * rng.normal(size=(arms, draws))
    runs = {str(a): {(d, 0): math.exp(table[a, d]) for d in range(draws)} for a in range(arms)}
    expected = probability_best(compare_arms(runs), n_samples=200_000)
    found = probabilities(table)
    assert found == pytest.approx(list(expected.values()), abs=0.008)
    assert found.sum() == pytest.approx(1.0)


def test_two_arms_follow_students_t():
    """Differences of two draws are 1 and 3 times 0.1: t = 2 at one degree of freedom, 1/2 + atan(2)/π."""
    table = np.array([[0.0, 0.0], [0.1, 0.3]])
    assert probabilities(table)[0] == pytest.approx(0.5 + math.atan(2.0) / math.pi, abs=0.004)


@pytest.mark.parametrize("n_high", [25, 100, 400])
def test_at_a_measured_size_with_free_lf_labels_the_rule_is_the_recommendation(rows, n_high):
    found = choose(
        arm_curves(Results(rows).regimes[0], METRIC, SPLIT), n_high=n_high, n_low=400, high_price=1000, low_price=0
    )
    advised = next(r for title, r in recommendation(Results(rows)).items() if f"n_high = {n_high}," in title)
    assert found.arm == advised.arm
    for option in found.options:
        assert option.probability == pytest.approx(advised.probabilities[option.arm], abs=0.012)


def test_lf_labels_are_paid_for_by_those_who_use_them():
    prices = {"n_high": 100.0, "n_low": 400.0, "high_price": 10.0, "low_price": 1.0}
    assert labels_bought(ArmCurve({}), **prices) == pytest.approx(100.0)
    assert labels_bought(ArmCurve({}, uses_low=False), **prices) == pytest.approx(
        140.0
    )  # 400 LF labels are worth 40 HF
    assert labels_bought(ArmCurve({}, low_per_high=1), **prices) == pytest.approx(1000.0 / 11.0)


def test_needs_of_the_arms_come_from_their_factories(rows):
    curves = arm_curves(Results(rows).regimes[0], METRIC, SPLIT)
    assert (curves["single_fidelity"].uses_low, curves["transfer"].uses_low) == (False, True)
    assert (curves["delta_labels"].low_per_high, curves["transfer"].low_per_high) == (1, 0)
    assert (
        arm_curves(Results(rows.assign(pairing="paired")).regimes[0], METRIC, SPLIT)["delta_labels"].low_per_high == 0
    )
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
    arms = {"a": ArmCurve(law(100.0, 0.5, noise=0.0)), "b": ArmCurve(law(90.0, 0.3), uses_low=False)}
    for n in (20.0, 60.0, 100.0, 550.0):
        found = choose(arms, n_high=n, n_low=0, high_price=1, low_price=0)
        (option,) = [o for o in found.options if o.arm == "a"]
        assert option.error == pytest.approx(100.0 * n**-0.5, rel=1e-9)
        assert option.state == "judged"


def test_cheap_hf_labels_change_the_arm():
    """Single fidelity needs four times the HF labels: it wins once they cost no more than the LF labels save."""
    arms = {"single": ArmCurve(law(200.0, 0.5), uses_low=False), "transfer": ArmCurve(law(100.0, 0.5))}
    dear = choose(arms, n_high=50, n_low=400, high_price=1000, low_price=1)
    cheap = choose(arms, n_high=50, n_low=400, high_price=1, low_price=1)
    assert (dear.arm, cheap.arm) == ("transfer", "single")
    assert min(dear.probability, cheap.probability) > 0.99
    assert "(8 runs)" in dear.reason


def test_an_arm_that_could_buy_more_than_was_measured_keeps_the_others_from_being_named():
    arms = {"single": ArmCurve(law(200.0, 0.5), uses_low=False), "transfer": ArmCurve(law(20.0, 0.5))}
    found = choose(arms, n_high=50, n_low=4000, high_price=1, low_price=1)
    assert found.arm is None
    assert "single could buy more HF labels than were measured" in found.reason
    better = {**arms, "single": ArmCurve(law(2.0, 0.5), uses_low=False)}
    assert choose(better, n_high=50, n_low=4000, high_price=1, low_price=1).arm == "single"


def test_an_arm_that_can_buy_fewer_than_were_measured_is_not_named():
    arms = {"delta": ArmCurve(law(10.0, 0.5), low_per_high=1), "transfer": ArmCurve(law(100.0, 0.5))}
    found = choose(arms, n_high=25, n_low=0, high_price=1, low_price=1)
    assert found.arm is None
    assert "with so few it was not measured" in found.reason
    worse = {**arms, "delta": ArmCurve(law(1000.0, 0.5), low_per_high=1)}
    assert choose(worse, n_high=25, n_low=0, high_price=1, low_price=1).arm == "transfer"


def test_the_rule_abstains():
    equal = choose(dict.fromkeys("ab", ArmCurve(law(10.0, 0.5))), n_high=50, n_low=0, high_price=1, low_price=0)
    assert "No arm reaches a probability of 0.80" in equal.reason
    assert [option.probability for option in equal.options] == [0.5, 0.5]
    arms = {"a": ArmCurve(law(10.0, 0.5), n_failed={100: 1}), "b": ArmCurve(law(90.0, 0.5))}
    at = {"n_low": 0, "high_price": 1, "low_price": 0}
    assert choose(arms, n_high=100, **at).arm is None
    assert choose(arms, n_high=60, **at).arm is None  # on the line to the size with failures
    assert choose(arms, n_high=25, **at).arm == "a"
    one_draw = {"a": ArmCurve(law(10.0, 0.5, draws=1)), "b": ArmCurve(law(90.0, 0.5, draws=1))}
    assert "fewer than two draws" in choose(one_draw, n_high=50, **at).reason
    assert "Fewer than two arms" in choose({"a": arms["a"]}, n_high=50, **at).reason
    empty = choose({**arms, "c": ArmCurve({25: {}})}, n_high=25, **at)
    assert (empty.arm, [o.state for o in empty.options]) == ("a", ["judged", "judged", "none"])
