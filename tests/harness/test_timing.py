"""Budgets from measured time: the arithmetic against a made-up clock, and the record that a second call finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfbench.benchmarks.harness.timing import (
    FILE,
    Measured,
    Rate,
    budget_for,
    measure,
    record,
    recorded,
)
from mfbench.mfcore.errors import BudgetError, ConfigError, DataError, SelfCheckError


class Machine:
    """A machine on which trainings take a fixed time and some per atom gradient, and the first one longer."""

    def __init__(self, fixed: float, rate: float) -> None:
        self.now, self.fixed, self.rate, self.budgets = 0.0, fixed, rate, list[float]()

    def train(self, budget: float) -> None:
        self.now += self.fixed + self.rate * budget + (30.0 if not self.budgets else 0.0)
        self.budgets.append(budget)

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(("fixed", "rate"), [(2.0, 3e-5), (0.0, 1e-3), (50.0, 1e-5)])
def test_the_rate_of_a_machine_is_found_without_its_first_training(fixed: float, rate: float) -> None:
    machine = Machine(fixed, rate)
    found = measure(machine.train, 5000.0, 1000.0, clock=machine.clock)
    assert found.s_per_atom_gradient == pytest.approx(rate)
    assert found.fixed_s == pytest.approx(fixed, abs=1e-6)
    assert found.seconds(1e6) == pytest.approx(fixed + 1e6 * rate)


def test_where_something_was_trained_before_the_first_training_counts() -> None:
    machine = Machine(2.0, 1e-4)
    machine.train(1.0)
    assert measure(machine.train, 5000.0, 100.0, warm=True, clock=machine.clock).fixed_s == pytest.approx(2.0)
    assert machine.budgets[1] == 5000.0


def test_measuring_ends_when_its_time_is_over() -> None:
    machine = Machine(100.0, 1e-9)
    measure(machine.train, 1000.0, 20.0, clock=machine.clock)
    assert len(machine.budgets) == 3


def test_a_training_that_is_too_short_to_pass_its_checks_is_measured_all_the_same() -> None:
    machine = Machine(1.0, 1e-4)

    def train(budget: float) -> None:
        machine.train(budget)
        raise SelfCheckError("one function")

    assert measure(train, 5000.0, 100.0, clock=machine.clock).s_per_atom_gradient == pytest.approx(1e-4)
    with pytest.raises(ConfigError):
        measure(lambda budget: (_ for _ in ()).throw(ConfigError("no")), 5000.0, 100.0, clock=machine.clock)


def test_the_budget_is_the_largest_of_two_digits_that_the_time_pays_for() -> None:
    rate = Rate(10.0, 1e-4)
    found = budget_for(rate.seconds, 110.0, 1000.0)
    assert found == pytest.approx(1e6)
    assert budget_for(rate.seconds, 133.4, 1000.0) == pytest.approx(1.2e6)
    assert budget_for(rate.seconds, 10.1, 1000.0) == pytest.approx(1000.0)
    with pytest.raises(BudgetError, match="do not pay"):
        budget_for(rate.seconds, 10.0, 1000.0)


class Spec:
    def __init__(self, arm: str) -> None:
        self.arm, self.core_name = arm, "core"


def test_runs_are_shared_out_among_processes() -> None:
    rates = {("slow", "core"): Rate(1.0, 2e-4), ("fast", "core"): Rate(1.0, 1e-4)}
    measured = Measured(rates, setup_s=5.0, first=1000.0)
    specs = [Spec("slow"), Spec("fast"), Spec("fast")]
    assert measured.seconds(specs, 1e5, 1) == pytest.approx(5 + 21 + 11 + 11)  # type: ignore[arg-type]
    assert measured.seconds(specs, 1e5, 2) == pytest.approx(5 + 22)  # type: ignore[arg-type]
    budget = budget_for(lambda b: measured.seconds(specs, b, 2), 100.0, 1000.0)  # type: ignore[arg-type]
    assert measured.seconds(specs, budget, 2) <= 100.0 < measured.seconds(specs, 1.1 * budget, 2)  # type: ignore[arg-type]


def test_a_record_holds_a_budget_for_each_question_and_knows_when_it_was_changed(tmp_path: Path) -> None:
    assert recorded(tmp_path, "one") is None
    record(tmp_path, "one", 1e5, {"time_s": 60.0})
    record(tmp_path, "two", 2e5, {"time_s": 120.0})
    record(tmp_path, "one", 3e5, {"time_s": 60.0})
    assert (recorded(tmp_path, "one"), recorded(tmp_path, "two")) == (3e5, 2e5)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace("200000.0", "900000.0"))
    with pytest.raises(DataError, match="was changed since it was written"):
        recorded(tmp_path, "two")
