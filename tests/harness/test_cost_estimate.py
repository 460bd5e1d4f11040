"""Cost estimates of plans, against counts made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from ase import Atoms

from mfbench.benchmarks.harness.cost import LabelPool, label_cost, labels_used, makespan
from mfbench.benchmarks.harness.cost_estimate import CostEstimate, cost_estimate
from mfbench.benchmarks.harness.executors.factory import make_executor
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import prepare, prepare_one, split_of
from mfbench.benchmarks.harness.runner import pending, run_all
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.tasks.base import Regime, Task
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import LabelSet
from tests.harness.conftest import spec
from tests.harness.test_runner import Notes

QUICK = {"pause_s": 0.0}


def regime(**changes: object) -> Regime:
    return Regime(**({"n_low": 10, "n_high": 9, "coverage": "full"} | changes))


def summed_up(specs: list[RunSpec], store: RunStore, workers: int = 2) -> CostEstimate:
    planned = prepare(specs)
    return cost_estimate(planned, pending(planned, store), store, workers)


def ids(spec: RunSpec, fidelity: str) -> set[str]:
    return {id_of(a) for a in split_of(spec).training.train[fidelity]}


def frames(*names: str) -> list[Atoms]:
    return [Atoms("H", info={"structure_id": name, "group": name}) for name in names]


class PricedTask(Task):
    """An energy costs 1, forces 10 more, at HF a hundred times that."""

    name, summary, fidelities = "priced", "", ("low", "high")

    def load(self): ...

    def pools(self, draw): ...

    def data_hashes(self): ...

    def label_cost(self, frames, fidelity, labels):
        return len(frames) * (1 + 10 * ("F" in str(labels))) * {"low": 1, "high": 100}[fidelity]


def training(low: list[Atoms], high: list[Atoms], validation: list[Atoms], labels: str = "E") -> TrainingSet:
    sets = {"low": LabelSet.parse("E"), "high": LabelSet.parse(labels)}
    return TrainingSet(("low", "high"), {"low": low, "high": high}, sets, validation)


def test_labels_are_those_trained_and_selected_on() -> None:
    data = training(frames("a", "b"), frames("c"), frames("d"))
    used = {part.fidelity: [id_of(a) for a in part.frames] for part in labels_used(data, uses_low=True)}
    assert used == {"high": ["c", "d"], "low": ["a", "b"]}
    assert [part.fidelity for part in labels_used(data, uses_low=False)] == ["high"]


def test_difference_learning_needs_low_labels_of_high_frames_each_once() -> None:
    data = training(frames("a", "c"), frames("c"), frames("d"))  # paired: "c" is a low frame already
    low = labels_used(data, uses_low=True, low_of_high=["low"])[1]
    assert [id_of(a) for a in low.frames] == ["a", "c", "d"]


def test_low_forces_of_validation_frames_are_paid_where_weights_are_selected_by_them() -> None:
    for labels, expected in (("E", ["a", "d"]), ("EF", ["a"])):  # with HF forces they are not looked at
        data = training(frames("a"), frames("c"), frames("d"), labels)
        low = labels_used(data, uses_low=True, selection="low_forces")[1]
        assert [id_of(a) for a in low.frames] == expected
    assert len(labels_used(data, uses_low=False, selection="low_forces")) == 1


def test_a_label_that_several_runs_use_costs_once() -> None:
    pool, task = LabelPool(), PricedTask()
    pool.add("t", task, labels_used(training(frames("a"), frames("b"), frames("d")), uses_low=True))
    assert pool.cost() == 2 * 100 + 1
    pool.add("t", task, labels_used(training(frames("a"), frames("b", "c"), frames("d")), uses_low=True))
    assert pool.cost() == 3 * 100 + 1
    pool.add("t", task, labels_used(training(frames("a"), frames("b"), frames("d"), "EF"), uses_low=True))
    assert pool.cost() == 2 * 1100 + 100 + 1  # forces of b and d on top, the energies were counted
    assert pool.n_frames() == {"t high": 3, "t low": 1}
    pool.add("another", task, labels_used(training([], frames("b"), frames("d")), uses_low=True))
    assert pool.cost() == 2 * 1100 + 100 + 1 + 200
    assert pool.cost_by_task() == {"t": 2 * 1100 + 100 + 1, "another": 200}


def test_the_last_job_decides_when_all_are_done() -> None:
    assert makespan([], 2) == 0.0
    assert makespan([1, 1, 1, 3], 2) == 3.0
    assert makespan([1, 2, 3], 1) == 6.0
    assert makespan([5, 1], 8) == 5.0


def test_an_estimate_counts_runs_and_labels(fakes: Path, tmp_path: Path) -> None:
    specs = [
        spec(arm, regime=regime(n_high=n), seed=seed, settings=settings)
        for n in (6, 9)
        for seed in (0, 1)
        for arm, settings in (("fake_mean", {}), ("fake_steps", QUICK))
    ]
    whole = summed_up([*specs, spec("fake_all", all_high=True)], RunStore(tmp_path / "out"))
    six, nine, every = whole.regimes
    assert (six.regime["n_high"], nine.regime["n_high"], every.regime["n_high"]) == (6, 9, "all")
    assert (six.runs, nine.runs, every.runs, whole.runs) == (4, 4, 1, 9)
    assert six.arms == ["fake_mean", "fake_steps"]
    assert (six.label_cost_cpu_s, nine.label_cost_cpu_s) == (100 * (6 + 6) + 10, 100 * (9 + 6) + 10)
    assert every.label_cost_cpu_s == 100 * (30 + 6)
    low = ids(specs[0], "low") | ids(specs[-1], "low")
    assert whole.label_cost_cpu_s == 100 * (30 + 6) + len(low)  # smaller HF sets are in the ceiling's
    assert whole.label_cost_cpu_s < sum(r.label_cost_cpu_s or 0 for r in whole.regimes)
    assert whole.n_labelled == {"fake_task high": 36, "fake_task low": len(low)}
    assert not (tmp_path / "out").exists()


def test_what_is_stored_is_not_expected_again_and_tells_what_the_rest_takes(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    guess = {"expected_us_per_atom_gradient": 2e6}
    specs = [spec(seed=seed, **guess) for seed in (0, 1)]
    first = summed_up(specs, store)
    assert first.spending.wall_s == 2000.0  # two of 1000 atom gradients, 2 s each, side by side
    assert summed_up(specs, store, workers=1).spending.wall_s == first.spending.cpu_s == 4000.0
    assert (first.spending.atom_gradients, first.spending.measured_runs, first.spending.runs) == (2000.0, 0, 2)

    planned = prepare(specs[:1])
    run_all(planned, planned, store, Notes(), make_executor(0))
    wall = store.load(planned[0].key).record["wall_s"]
    twice = summed_up([*specs, spec(seed=2, budget=2000.0, **guess)], store, workers=1)
    assert (twice.runs, twice.stored, twice.spending.runs, twice.spending.measured_runs) == (3, 1, 2, 2)
    assert twice.spending.wall_s == pytest.approx(3 * wall)
    assert twice.spending.atom_gradients == 3000.0
    other = summed_up([spec(seed=1, patience=3, **guess)], store)
    assert other.spending.measured_runs == 0  # another rule spends otherwise


def test_labels_that_nobody_timed_have_no_cost(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mfbench_fakes

    monkeypatch.setattr(mfbench_fakes.FakeTask, "label_cost", Task.label_cost)
    whole = summed_up([spec()], RunStore(tmp_path))
    assert whole.label_cost_cpu_s is None
    assert math.isfinite(whole.spending.wall_s)


def test_the_rows_of_a_run_have_the_label_cost_of_the_plan(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    planned = prepare([spec("fake_steps", regime=regime(pairing="paired"), settings=QUICK)])
    run_all(planned, planned, store, Notes(), make_executor(0))
    (cost,) = set(store.rows()["label_cost_cpu_s"])
    assert summed_up([planned[0].spec], store).label_cost_cpu_s == cost


def test_a_patience_of_its_own_is_refused(training_set: TrainingSet, tmp_path: Path) -> None:
    one = RunSpec("molecular_cc", Regime(n_low=20, n_high=10), "transfer", 1e4, 0, 0)
    assert prepare_one(one).identity["budget_rule"] == "equal-compute"
    other = RunSpec("molecular_cc", one.regime, "transfer", 1e4, 0, 0, settings={"training": {"patience": 3}})
    with pytest.raises(ConfigError, match=r"transfer.*training\.patience.*rule: converged"):
        prepare_one(other)


def test_a_label_that_another_one_starts_from_is_paid_once() -> None:
    """HF of frame c costs 100 and brings its LF label along; LF of a and b cost 1 each."""
    data = training(frames("a", "b"), frames("c"), frames("d"))
    used = labels_used(data, uses_low=True, low_of_high=["low"])
    task = PricedTask()
    assert label_cost(task, used) == 200 + 4
    task.starts_from = {"high": "low"}  # type: ignore[misc]
    assert label_cost(task, used) == 200 + 2
    pool = LabelPool()
    pool.add("priced", task, used)
    assert pool.cost() == 202
