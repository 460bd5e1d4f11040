from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase import Atoms
from filelock import FileLock

from mfbench.benchmarks.harness.executors.factory import make_executor
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun, prepare
from mfbench.benchmarks.harness.runner import only_writer, pending, run_all, unused
from mfbench.benchmarks.harness.store import COLUMNS, RunStore
from mfbench.benchmarks.observables.errors.observable import Errors
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.mixing.observable import Mixing, MixingPlan
from mfbench.benchmarks.observables.transport.observable import Transport
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.benchmarks.reports import Results, report
from mfbench.mfcore.errors import ConfigError, DataError, StorageError
from tests.harness.conftest import PLUGIN, spec

ROOT = Path(__file__).parents[2]


class Notes:
    """A monitor that notes what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def started(self, run: PlannedRun) -> None:
        self.events.append(("started", run.spec.arm))

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        self.events.append(("spent", f"{atom_gradients:g}"))

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        self.events.append(("ended", reason or "finished"))


def compute(store: RunStore, specs: list[RunSpec], workers: int = 0, **options: bool) -> Notes:
    planned = prepare(specs)
    notes = Notes()
    run_all(pending(planned, store, **options).todo, planned, store, notes, make_executor(workers))
    return notes


def test_a_run_is_computed_and_stored(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "out")
    shifted = spec(settings={"shift": -0.25})
    notes = compute(store, [shifted])
    assert notes.events == [("started", "fake_mean"), ("ended", "finished")]
    rows = store.rows()
    assert list(rows.columns) == list(COLUMNS)
    (row,) = rows[rows["metric"] == "energy_mae_mev_per_atom"].to_dict("records")
    assert row["value"] == pytest.approx(250.0, abs=1e-6)  # the shift of 0.25 eV/atom, in meV/atom
    assert (row["n"], row["n_low"], row["n_high"], row["status"], row["n_failed"]) == (12, "10", "9", "finished", 0)
    assert row["train_atom_gradients"] == 1000.0
    assert row["train_steps"] == 0.0  # a fake learns without any
    assert row["label_cost_cpu_s"] == 100.0 * (9 + 6)  # HF training and validation; this arm uses no LF label
    assert row["inference_us_per_atom"] > 0
    assert not (store.root / "work").exists()


def test_stored_runs_of_other_settings_are_counted_as_unused(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    compute(store, [spec(settings={"shift": -0.25}), spec(settings={"shift": -0.25}, seed=2)])
    assert unused(prepare([spec(settings={"shift": -0.25})]), store) == ""
    assert unused(prepare([spec(settings={"shift": 0.5}), spec(settings={"shift": 0.5}, seed=3)]), store) == (
        f"1 run in {tmp_path} of the same arms and draws stays there unused: the code of mfbench, the settings or the "
        "data were others."
    )


def test_observables_are_measured_where_they_are_asked_for(
    fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mfbench_fakes

    told = {}

    def transport(self, potential, task, split, plan, seed, workdir):
        told["transport"] = (type(potential).__name__, task.name, list(split.tests), plan, seed)
        (workdir / "trajectory").write_text("long")
        return Evaluation([{"split": "md", "metric": "li_activation_energy_ev", "unit": "eV", "value": 0.25, "n": 3}])

    def mixing(self, potential, task, split, plan, seed, workdir):
        told["mixing"] = (type(potential).__name__, task.name, list(split.tests), plan, seed)
        return Evaluation([{"split": "mixing", "metric": "mixing_energy_r2", "unit": "", "value": 0.5, "n": 4}])

    cell = Atoms("Li", cell=[4, 4, 4], pbc=True)
    monkeypatch.setattr(mfbench_fakes.FakeTask, "transport_frames", lambda task: [cell], raising=False)
    monkeypatch.setattr(Transport, "measure", transport)
    monkeypatch.setattr(Mixing, "measure", mixing)
    monkeypatch.setattr(Mixing, "identity", lambda self, task, plan: {})
    store, plans = RunStore(tmp_path / "out"), (TransportPlan(), MixingPlan())
    asked = ({}, {"transport": plans[0]}, {"mixing": plans[1]})
    compute(store, [spec(seed=seed, observables=some) for seed, some in zip((7, 8, 9), asked, strict=True)])
    rows = store.rows()
    values = {(row["seed"], row["metric"]): (row["value"], row["n"]) for row in rows.to_dict("records")}
    errors = {metric for seed, metric in values if seed == 7}
    assert {"energy_mae_mev_per_atom", "force_mae_mev_per_A"} <= errors
    extra = {key: value for key, value in values.items() if key[1] not in errors}
    assert extra == {(8, "li_activation_energy_ev"): (0.25, 3), (9, "mixing_energy_r2"): (0.5, 4)}
    assert told == {
        "transport": ("MeanPotential", "fake_task", ["in_coverage"], plans[0], 8),
        "mixing": ("MeanPotential", "fake_task", ["in_coverage"], plans[1], 9),
    }
    assert not (store.root / "work").exists()


def test_the_ceiling_gets_all_high_labels(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    compute(store, [spec("fake_all", all_high=True)])
    row = store.rows().iloc[0]
    assert row["n_high"] == "all"
    assert store.load(row["run_key"]).record["potential"]["n_high"] == 30  # 10 groups of 3


def test_low_labels_cost_what_they_cost_unless_an_arm_uses_none(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    compute(store, [spec("fake_steps", settings={"pause_s": 0.0})])
    assert set(store.rows()["label_cost_cpu_s"]) == {100.0 * 15 + 10 * 1.0}


def test_a_finished_run_is_never_computed_again(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "out")
    specs = [spec("fake_steps", settings={"pause_s": 0.0}, seed=seed) for seed in (0, 1)]
    compute(store, specs)
    assert len(fakes.read_text().split()) == 20
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("*")}
    notes = compute(store, [*specs, spec("fake_steps", settings={"pause_s": 0.0}, seed=2)])
    assert [kind for kind, _ in notes.events].count("started") == 1
    assert len(fakes.read_text().split()) == 30
    assert all(p.stat().st_mtime_ns == t for p, t in before.items() if p.is_file())


def test_an_observable_that_fails_is_counted_and_what_was_measured_beside_it_is_kept(
    fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mfbench_fakes

    def broken(self, potential, task, split, plan, seed, workdir):
        raise ConfigError("the cell is no ensemble.")

    store, cell = RunStore(tmp_path / "out"), Atoms("Li", cell=[4, 4, 4], pbc=True)
    monkeypatch.setattr(mfbench_fakes.FakeTask, "transport_frames", lambda task: [cell], raising=False)
    monkeypatch.setattr(Transport, "measure", broken)
    specs = [spec(seed=0, observables={"transport": TransportPlan()}), spec(seed=1)]
    told = "observable 'transport': the cell is no ensemble."
    assert [what for what in compute(store, specs).events if what[0] == "ended"] == [
        ("ended", told),
        ("ended", "finished"),
    ]
    rows = store.rows()
    errors = rows[rows["metric"] == "energy_mae_mev_per_atom"]
    assert errors["status"].tolist() == ["finished", "finished"]
    assert rows.loc[rows["seed"] == 0, "n_failed"].sum() == 1
    assert len(store.detail("blocks")["seed"].unique()) == 2
    assert [reason for _, reason in pending(prepare(specs), store).failed] == [told]
    assert not compute(store, specs).events
    text = report(Results(rows), "md")
    assert "fake_mean: an observable failed in 1 of 2 runs; what was measured beside it is in the means." in text
    assert "runs failed" not in text
    monkeypatch.setattr(Transport, "measure", lambda *args, **options: Evaluation([]))
    assert compute(store, specs, retry_failed=True).events[-1] == ("ended", "finished")
    assert store.rows()["n_failed"].sum() == 0


@pytest.mark.parametrize("where", ["observable", "arm"])
def test_code_that_ends_the_program_fails_its_run(
    fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    import mfbench_fakes

    def leave(self, *args, **options):
        raise SystemExit(3)

    owner, method = (Errors, "measure") if where == "observable" else (mfbench_fakes.FakeMean, "fit")
    monkeypatch.setattr(owner, method, leave)
    store = RunStore(tmp_path / "out")
    ended = [what for kind, what in compute(store, [spec(seed=0)]).events if kind == "ended"]
    assert len(ended) == 1
    assert ended[0].startswith("SystemExit: 3 (test_runner.py:")
    assert store.rows()["status"].tolist() == ["failed"]


def test_nothing_of_a_disk_that_is_full_is_the_fault_of_an_observable(
    fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self, potential, task, split, plan, seed, workdir):
        raise OSError(errno.ENOSPC, "x", str(workdir))

    monkeypatch.setattr(Errors, "measure", full)
    store = RunStore(tmp_path / "out")
    with pytest.raises(StorageError, match="no space is left"):
        compute(store, [spec()])
    assert store.current_keys() == []


def test_a_failed_run_is_recorded_counted_and_not_retried_unasked(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    notes = compute(store, [spec("fake_failing"), spec("fake_mean")])
    assert ("ended", "RuntimeError: the moon was in the wrong place (mfbench_fakes.py:168)") in notes.events
    rows = store.rows().drop_duplicates("arm").set_index("arm")
    assert rows.loc["fake_failing", ["status", "n_failed", "metric"]].tolist() == ["failed", 1, ""]
    assert rows.loc["fake_mean", "n_failed"] == 0
    record = store.load(rows.loc["fake_failing", "run_key"]).record
    assert "the moon" in record["reason"]
    assert "Traceback" in record["traceback"]
    assert compute(store, [spec("fake_failing")]).events == []
    assert compute(store, [spec("fake_failing")], retry_failed=True).events[0] == ("started", "fake_failing")


def test_a_run_that_overspends_fails(fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mfbench_fakes

    class Greedy(mfbench_fakes.FakeMean):
        def fit(self, *args, **kwargs):
            potential = super().fit(*args, **kwargs)
            potential.ledger.stages[0].atom_gradients *= 2
            return potential

    monkeypatch.setattr(mfbench_fakes, "FakeMean", Greedy)
    notes = compute(RunStore(tmp_path), [spec()])
    assert "spent 2000 atom gradients of 1000" in notes.events[-1][1]


def test_a_killed_process_is_recorded_and_the_others_go_on(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    notes = compute(store, [spec("fake_dying"), spec("fake_mean"), spec("fake_mean", seed=1)], workers=2)
    assert [what for kind, what in notes.events if kind == "ended"].count("finished") == 2
    rows = store.rows()
    (key,) = rows.loc[rows["status"] == "failed", "run_key"]
    assert "killed by signal 9" in store.load(key).record["reason"]


def test_progress_is_the_spent_budget(fakes: Path, tmp_path: Path) -> None:
    notes = compute(RunStore(tmp_path), [spec("fake_steps", settings={"pause_s": 0.0, "steps": 4})])
    assert [what for kind, what in notes.events if kind == "spent"] == ["250", "500", "750", "1000"]


def test_a_killed_command_goes_on_where_it_was(fakes: Path, tmp_path: Path) -> None:
    preset = tmp_path / "mine.yml"
    plan = {"task": "fake_task", "arms": ["fake_steps"], "budget": {"atom_gradients": 1000}}
    plan["regimes"] = {"n_low": [10], "n_high": [9], "coverage": ["full"]}
    preset.write_text(json.dumps({"name": "mine", "tasks": [plan]}))
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "mfbench.benchmarks.cli.main",
        "run",
        str(preset),
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PLUGIN), str(ROOT)]), "OMP_NUM_THREADS": "1"}

    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(fakes.read_text().split()) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with FileLock(str(fakes) + ".lock", timeout=60):  # the worker has noticed that it is alone
        done = len(fakes.read_text().split())
    assert 3 <= done < 10
    store = RunStore(out)
    assert store.current_keys() == []

    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    (key,) = store.current_keys()
    first = store.load(key).record["potential"]["first"]
    assert first in (done - 1, done)  # the step that was cut off is taken again
    steps = [int(step) for step in fakes.read_text().split()]
    assert steps == [*range(done), *range(first, 10)]
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0
    assert "1 runs: 1 stored, 0 to compute" in again.stdout
    assert len(fakes.read_text().split()) == len(steps)


def test_a_damaged_record_is_refused_before_anything_runs(fakes: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    compute(store, [spec()])
    (key,) = store.current_keys()
    (store.folder(key) / "record.json").write_text("{")
    with pytest.raises(DataError, match="Remove its folder"):
        compute(store, [spec(), spec(seed=1)])


def test_an_impossible_regime_is_refused_before_anything_is_written(fakes: Path, tmp_path: Path) -> None:
    from mfbench.benchmarks.tasks.base import Regime

    with pytest.raises(ConfigError, match="n_high"):
        compute(RunStore(tmp_path / "out"), [spec(), spec(regime=Regime(n_high=1000, coverage="full"))])
    assert not (tmp_path / "out").exists()


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with only_writer(tmp_path), pytest.raises(ConfigError, match="another mfbench"), only_writer(tmp_path):
        pytest.fail("two writers")
    with only_writer(tmp_path):
        assert (tmp_path / ".lock").exists()
