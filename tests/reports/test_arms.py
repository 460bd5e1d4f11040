"""Arms of other packages are first class in reports, and rows alone can be reported."""

import pytest

from mfbench.benchmarks.reports import recommendation, report
from mfbench.benchmarks.reports.arms import ceilings, in_order, not_installed, reference_of, traits
from mfbench.benchmarks.reports.figures import looks
from mfbench.benchmarks.reports.results import Results
from mfbench.strategies import Strategy, registry
from mfbench.strategies.registry import arm_class
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group


class Outside(Strategy):
    name = "outside"
    summary = "an arm of another package"
    label = "Outside (2026)"
    colour = "#123456"
    marker = "d"
    line = ":"

    def _fit(self, run):
        raise NotImplementedError


class OutsideCeiling(Outside):
    name = "outside_all"
    role = "ceiling"


class OutsideFloor(Outside):
    name = "outside_floor"
    role = "floor"
    self_contained = False


@pytest.fixture
def outside(monkeypatch):
    """Three arms of another package, installed for one test."""
    own = {c.name: c for c in (Outside, OutsideCeiling, OutsideFloor)}
    monkeypatch.setattr(registry, "is_arm", lambda name: name in own or name in registry._points())
    monkeypatch.setattr(registry, "arm_class", lambda name: own.get(name) or arm_class(name))
    traits.cache_clear()
    yield
    traits.cache_clear()


@pytest.mark.usefixtures("outside")
def test_an_outside_arm_has_its_own_role_and_look():
    names = ["outside_all", "transfer", "single_fidelity", "outside", "outside_floor"]
    assert in_order(names) == ["outside_floor", "single_fidelity", "outside", "transfer", "outside_all"]
    assert ceilings(names) == ["outside_all"]
    assert reference_of(names) == "single_fidelity"
    assert looks(["transfer", "outside"])["outside"] == ("#123456", "d", ":")
    assert (traits("outside").label, traits("transfer").label) == ("Outside (2026)", "transfer")


@pytest.mark.usefixtures("outside")
def test_an_outside_ceiling_is_shown_and_never_recommended():
    rows = make_rows({"outside_all": 1.0, "transfer": 10.0, "outside": 20.0, "outside_floor": 90.0}, draws=4)
    (found,) = recommendation(results_by_group(rows)).values()
    assert found.arm == "transfer"
    assert "outside_all" not in found.probabilities
    (alone,) = recommendation(results_by_group(rows), self_contained=True).values()
    assert "outside_floor" not in alone.probabilities
    text = report(Results(rows))
    assert "outside_all: the ceiling" in text
    assert "outside_floor: the floor" in text


def test_rows_of_an_arm_that_is_not_installed_are_reported():
    rows = make_rows({"gone": 10.0, "transfer": 20.0}, draws=3)
    assert not_installed(["transfer", "gone"]) == ["gone"]
    assert traits("gone").role == "candidate"
    (found,) = recommendation(results_by_group(rows)).values()
    assert found.arm == "gone"
    assert "gone" in report(Results(rows))
