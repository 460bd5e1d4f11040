"""The Pareto front of error and cost, and the probability of being on it."""

import math

import numpy as np
import pytest

from mfbench.benchmarks.reports.front import on_front, probability_on_front
from mfbench.mfcore.metrics.structures import StructureErrors


def test_the_front_is_what_nothing_beats():
    costs = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    errors = np.array([[5.0, 4.0, 4.5, 4.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    assert on_front(costs, errors).tolist() == [[True, True, False, False, True], [True, False, False, False, False]]


def test_equal_points_are_on_the_front_together():
    assert on_front(np.array([1.0, 1.0]), np.array([2.0, 2.0])).tolist() == [True, True]


def test_the_front_s_probability():
    """Clearly better and cheaper: certain. Equal cost and equal errors that scatter: even chances."""
    noise = {(d, 0): math.exp(0.1 * (-1) ** d) for d in range(4)}
    opposite = {key: 1.0 / value for key, value in noise.items()}
    runs = {"a": noise, "b": opposite, "dear": dict.fromkeys(noise, 5.0)}
    found = probability_on_front(runs, {"a": 1.0, "b": 1.0, "dear": 2.0})
    assert found["a"] == pytest.approx(0.5, abs=0.05)
    assert found["a"] + found["b"] == pytest.approx(1.0, abs=0.01)
    assert found["dear"] == 0.0
    cheap = probability_on_front(runs, {"a": 1.0, "b": 1.0, "dear": 0.5})
    assert cheap["dear"] == 1.0


def test_the_front_s_probability_knows_that_other_test_structures_might_turn_it():
    """A lead of two standard errors over draws that is due to one group of ten is no certainty."""
    rng = np.random.default_rng(0)
    draws = {(d, 0): 0.01 * rng.standard_normal() for d in range(6)}
    runs = {
        "a": {key: math.exp(x - 0.05) for key, x in draws.items()},
        "b": {key: math.exp(-x) for key, x in draws.items()},
    }
    costs = {"a": 1.0, "b": 1.0}

    def structures(scatter):
        each = {"a": scatter * np.linspace(-1, 1, 10), "b": -scatter * np.linspace(-1, 1, 10)}
        return {arm: StructureErrors(np.full(10, 0.1), dict.fromkeys(draws, each[arm])) for arm in runs}

    assert probability_on_front(runs, costs)["a"] > 0.99
    assert probability_on_front(runs, costs, structures(1e-6))["a"] > 0.99
    # the difference of two means of ten groups: ± 2 · 0.3 · 0.64 / √9, its lead 0.05
    assert 0.55 < probability_on_front(runs, costs, structures(0.3))["a"] < 0.75


def test_without_repeats_no_probability_is_given():
    found = probability_on_front({"a": {(0, 0): 1.0}, "b": {(0, 0): 2.0}}, {"a": 1.0, "b": 1.0})
    assert all(math.isnan(value) for value in found.values())
    assert math.isnan(probability_on_front({"a": {(0, 0): 1.0}, "b": {(1, 0): 2.0}}, {"a": 1.0, "b": 1.0})["a"])
