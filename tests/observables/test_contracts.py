"""The built-in observables keep the contracts of all."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mfbench.benchmarks.observables.barriers.observable import BarriersPlan
from mfbench.benchmarks.observables.base import Plan
from mfbench.benchmarks.observables.conformers.observable import ConformersPlan
from mfbench.benchmarks.observables.elastic.observable import ElasticPlan
from mfbench.benchmarks.observables.hull.observable import HullPlan
from mfbench.benchmarks.observables.mixing.observable import MixingPlan
from mfbench.benchmarks.observables.registry import observable_names, observable_of, observables
from mfbench.benchmarks.observables.stability.observable import StabilityPlan
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.benchmarks.sets import files, wiggle150
from mfbench.benchmarks.tasks.fetch import DATA_VARIABLE
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import tiny_settings
from tests.contracts.observable import Case, ObservableContract
from tests.dynamics.worlds import Analytic
from tests.observables.test_elastic import Crystals, Metals
from tests.observables.test_mixing import Fake, alloy_frames, task_with
from tests.observables.test_transport import answered_by, gas, world
from tests.sets.made import Sizes, conformers_file, trajectories
from tests.tasks.toy import Oracle, ToyTask

__all__ = ["answered_by"]


class TestErrors(ObservableContract):
    name = "errors"
    plans = (Plan(),)
    rare = {"stress_mae_gpa"}  # noqa: RUF012

    @pytest.fixture
    def case(self):
        task = ToyTask()
        oracle = Oracle(task.fidelities, energy_error=0.003, force_error=-0.05)
        return Case(oracle, task, task.split(task.default_regime, 0))


class TestStability(ObservableContract):
    name = "stability"
    plans = (
        StabilityPlan(temperatures_k=(100.0,), duration_ps=0.01, starts=2, drift_ps=0.005),
        StabilityPlan(temperatures_k=(100.0,), duration_ps=0.02, starts=2, drift_ps=0.005),
    )
    drawn = ("survival",)

    @pytest.fixture(scope="class")
    @classmethod
    def potential(cls, training_set):
        return make_arm("transfer", tiny_settings()).fit(training_set, Budget(2000), 0)

    @pytest.fixture
    def case(self, potential, frames):
        task = SimpleNamespace(frames=frames, units=lambda: ())
        return Case(potential, task, SimpleNamespace(tests={"in_coverage": frames[66:]}))


class TestTransport(ObservableContract):
    name = "transport"
    settings = {  # noqa: RUF012
        "temperatures_k": (300.0, 600.0, 1200.0),
        "duration_ps": 8.0,
        "time_step_fs": 20.0,
        "record_fs": 40.0,
        "friction_per_ps": 20.0,
        "replicas": 2,
        "blocks": 4,
        "pair_fraction": 1e-9,
    }
    plans = (TransportPlan(**settings), TransportPlan(**settings, equilibration=0.2))
    unserved = True
    drawn = ("arrhenius", "msd")

    @pytest.fixture
    def case(self, answered_by):
        return Case(answered_by(Analytic(0.5)), world(gas("Li20")))


class TestMixing(ObservableContract):
    name = "mixing"
    plans = (MixingPlan(), MixingPlan(bulk_modulus=False))
    unserved = True
    drawn = ("mixing",)

    @pytest.fixture
    def case(self):
        return Case(Fake(omega=0.1), task_with(alloy_frames()))


class TestHull(ObservableContract):
    name = "hull"
    plans = (HullPlan(thresholds_ev_per_atom=(0.028, 0.024)), HullPlan())
    unserved = True
    drawn = ("hull",)

    @pytest.fixture
    def case(self):
        return Case(Fake(omega=0.1), task_with(alloy_frames()))


class TestElastic(ObservableContract):
    name = "elastic"
    plans = (ElasticPlan(strains=(-0.005, 0.005)), ElasticPlan())
    unserved = True

    @pytest.fixture
    def case(self):
        return Case(Metals(), Crystals(("Cu",)))


class TestConformers(ObservableContract):
    name = "conformers"
    plans = (ConformersPlan(), ConformersPlan(molecules=("ado",)))

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path, monkeypatch):
        monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
        monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
        conformers_file(tmp_path / wiggle150.FILE.name)

    @pytest.fixture
    def case(self):
        return Case(Sizes(slope=1.1), ToyTask())


class TestBarriers(ObservableContract):
    name = "barriers"
    plans = (BarriersPlan(), BarriersPlan(domain="all"))

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
        trajectories(tmp_path / "oc20neb")

    @pytest.fixture
    def case(self):
        return Case(Sizes(slope=0.1), ToyTask())


def test_they_come_in_the_order_of_reports():
    names = ["errors", "stability", "transport", "mixing", "hull", "elastic", "conformers", "barriers"]
    assert observable_names() == names
    assert [observable.name for observable in observables() if observable.always] == ["errors"]
    with pytest.raises(ConfigError, match="no observable 'colour': known are errors, stability"):
        observable_of("colour")
