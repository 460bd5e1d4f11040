"""Break-even points of straight lines, by hand."""

import math

import pytest

from mfbench.mfcore.metrics.economics import ArmCost, Range, cheapest_by_label_price, cheapest_by_predictions


def test_total_adds_labels_training_and_predictions():
    cost = ArmCost(n_low=100, n_high=10, training=50.0, prediction=0.5)
    assert cost.total(low_price=1.0, high_price=20.0, n_predictions=40) == 100 + 200 + 50 + 20


def test_break_even_number_of_predictions():
    """10 + 2 m meets 50 + m at 40 predictions."""
    arms = {"delta": ArmCost(0, 0, 10.0, 2.0), "joint": ArmCost(0, 0, 50.0, 1.0)}
    assert cheapest_by_predictions(arms, low_price=0.0, high_price=0.0) == [
        Range(0.0, 40.0, "delta"),
        Range(40.0, math.inf, "joint"),
    ]


def test_break_even_label_price():
    """1000 + 10 p (with 100 LF labels at 10) meets 0 + 60 p at p = 20."""
    arms = {"transfer": ArmCost(100, 10, 0.0, 0.0), "single": ArmCost(0, 60, 0.0, 0.0)}
    assert cheapest_by_label_price(arms, low_price=10.0, n_predictions=0) == [
        Range(0.0, 20.0, "single"),
        Range(20.0, math.inf, "transfer"),
    ]


def test_an_arm_that_is_never_cheapest_is_not_named():
    arms = {
        "a": ArmCost(0, 0, 0.0, 3.0),
        "never": ArmCost(0, 0, 60.0, 2.0),
        "b": ArmCost(0, 0, 50.0, 1.0),
        "dear": ArmCost(0, 0, 99.0, 9.0),
    }
    ranges = cheapest_by_predictions(arms, low_price=0.0, high_price=0.0)
    assert [(r.arm, r.end) for r in ranges] == [("a", 25.0), ("b", math.inf)]


def test_three_arms_that_meet_at_one_point():
    arms = {name: ArmCost(0, 0, training, slope) for name, training, slope in [("a", 0, 2), ("b", 1, 1), ("c", 2, 0)]}
    ranges = cheapest_by_predictions(arms, low_price=0.0, high_price=0.0)
    assert [(r.start, r.end, r.arm) for r in ranges] == [(0.0, 1.0, "a"), (1.0, math.inf, "c")]


def test_equal_arms_give_one_range():
    arms = {"a": ArmCost(1, 1, 1.0, 1.0), "b": ArmCost(1, 1, 1.0, 1.0)}
    assert cheapest_by_label_price(arms, low_price=1.0, n_predictions=1) == [Range(0.0, math.inf, "a")]


def test_bad_costs_are_refused():
    with pytest.raises(ValueError, match="n_high = -1"):
        ArmCost(0, -1, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        cheapest_by_predictions({}, low_price=1.0, high_price=1.0)
    with pytest.raises(ValueError, match="prices"):
        cheapest_by_predictions({"a": ArmCost(0, 0, 0, 0)}, low_price=float("nan"), high_price=1.0)
