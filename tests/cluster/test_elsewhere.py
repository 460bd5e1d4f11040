"""Runs on other machines are those of this one: what they need goes with them, and what they leave comes back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ase.io import read, write

from mfbench.benchmarks.harness.elsewhere import (
    ApartRequest,
    InFolder,
    KeptFile,
    SharedRequest,
    apart_request,
    call_in_folder,
    differs,
    execute_apart,
    execute_shared,
    named_files,
)
from mfbench.benchmarks.harness.executors.base import Job
from mfbench.benchmarks.harness.executors.local import LocalExecutor
from mfbench.benchmarks.harness.prepare import plan_for, prepare, prepare_one
from mfbench.benchmarks.harness.runner import Sharing, pending, run_all
from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.errors import ConfigError, MfbenchError, StorageError
from tests.harness.conftest import spec
from tests.harness.test_runner import Notes

TIMES = ["train_wall_s", "train_cpu_s", "inference_us_per_atom", "date"]


def numbers(store: RunStore) -> pd.DataFrame:
    """Rows without times, in one order."""
    rows = store.rows().drop(columns=TIMES)
    return rows.sort_values(["run_key", "split", "metric"]).reset_index(drop=True)


@pytest.mark.parametrize("sharing", [Sharing.folder, Sharing.nothing])
def test_runs_elsewhere_are_those_of_here(fakes: Path, tmp_path: Path, sharing: Sharing) -> None:
    folder = Path.cwd()
    planned = prepare([spec("fake_steps", settings={"pause_s": 0.0}, seed=n) for n in (0, 1)] + [spec("fake_failing")])
    stores = {how: RunStore(tmp_path / how) for how in (Sharing.local, sharing)}
    for how, store in stores.items():
        failed = run_all(planned, planned, store, Notes(), LocalExecutor(0), how)
        assert [run.spec.arm for run, _ in failed] == ["fake_failing"]
    pd.testing.assert_frame_equal(numbers(stores[sharing]), numbers(stores[Sharing.local]))
    assert Path.cwd() == folder


def test_checkpoints_go_along_and_come_back(fakes: Path, tmp_path: Path) -> None:
    store, run = RunStore(tmp_path / "out"), prepare_one(spec("fake_steps", settings={"pause_s": 0.0, "steps": 4}))
    KeptFile(f"{run.key}/steps", b"2").keep(store)
    KeptFile("shared/stage-a.safetensors", b"mine").keep(store)
    KeptFile("shared/stage-b.safetensors", b"of others").keep(store)
    (store.shared / "stage-a.lock").touch()
    request = apart_request(run, store, frozenset({"stage-a.safetensors", "stage-a.lock"}))
    assert request.kept == {f"{run.key}/steps": b"2", "shared/stage-a.safetensors": b"mine"}
    told: list[Any] = []
    ended = execute_apart(request, told.append)
    assert not isinstance(ended, MfbenchError)
    assert ended.reason is None
    assert fakes.read_text().split() == ["2", "3"]
    assert told[-1] == KeptFile(f"{run.key}/steps", b"4")
    told[-1].keep(store)
    assert (store.workdir(run.key) / "steps").read_bytes() == b"4"
    KeptFile(f"{run.key}/steps", None).keep(store)
    assert not (store.workdir(run.key) / "steps").exists()


@pytest.mark.parametrize("name", ["../x", "/x/y", "a/b/c", "x", "../../x"])
def test_a_worker_cannot_write_beside_the_work_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a worker sent a checkpoint named"):
        KeptFile(name, b"x").keep(RunStore(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_would_compute_otherwise_says_so(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepare_one(spec())
    assert differs(run) is None
    monkeypatch.setenv("MFBENCH_FAKE_DATA", "1" * 64)
    found = differs(run)
    assert found is not None
    assert "otherwise than it was planned (data: planned {'fakes': '000" in str(found)
    ended = execute_apart(ApartRequest(run, {}, {}), lambda message: None)
    assert isinstance(ended, ConfigError)


def test_a_kind_of_device_is_planned_for_that_is_not_here() -> None:
    from mfbench.benchmarks.harness.prepare import _device

    try:
        plan_for("cuda")
        assert _device("auto") == "cuda"
        assert _device("cpu") == "cpu"
    finally:
        plan_for(None)
    assert _device("cpu") == "cpu"


def test_folders_that_a_machine_does_not_see(fakes: Path, tmp_path: Path) -> None:
    run, there, here = prepare_one(spec()), tmp_path / "there", Path.cwd()
    for request in (SharedRequest(run, tmp_path, there), SharedRequest(run, there, here)):
        ended = execute_shared(request, lambda message: None)
        assert isinstance(ended, ConfigError)
        assert f"does not see {there}" in str(ended)
    with pytest.raises(ConfigError, match="does not see"):
        call_in_folder(InFolder(os.listdir, ".", there), lambda message: None)
    assert call_in_folder(InFolder(lambda name, tell: name, "x", here), lambda message: None) == "x"


class Broken(LocalExecutor):
    """Workers that return a fault."""

    def run(self, jobs: Any) -> Any:
        yield from LocalExecutor(0).run([Job(lambda argument, tell: StorageError("the disk is full."))])


def test_a_fault_of_the_workers_ends_the_command_and_stores_nothing(fakes: Path, tmp_path: Path) -> None:
    planned, store = prepare([spec()]), RunStore(tmp_path)
    with pytest.raises(StorageError, match="the disk is full"):
        run_all(planned, planned, store, Notes(), Broken(0))
    assert pending(planned, store).todo == planned


def test_files_of_users_are_named_by_their_options(tmp_path: Path) -> None:
    options = {"low": "a.xyz", "high": "b.xyz", "low_name": "a.xyz", "test": ["t.xyz"], "reading": {}}
    assert named_files(options) == ["a.xyz", "b.xyz", "t.xyz"]
    assert named_files({"levels": [["dft", "a.xyz"], ["cc", "b.xyz"]]}) == ["a.xyz", "b.xyz"]
    assert named_files({}) == []


def test_a_users_files_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfbench.benchmarks.harness.elsewhere import _with_files

    run = prepare_one(spec_of_user(tmp_path))
    request = apart_request(run, RunStore(tmp_path / "out"), frozenset())
    assert {Path(name).name for name in request.files} == {"low.xyz", "high.xyz"}
    moved = _with_files(run, request.files, tmp_path / "there")
    assert all(str(tmp_path / "there") in moved.spec.options[key] for key in ("low", "high"))
    assert moved.key == run.key
    assert prepare_one(moved.spec).key == run.key
    assert replace(moved, spec=run.spec) == run


def spec_of_user(folder: Path) -> Any:
    """A run on the first frames of the examples."""
    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.tasks.base import Regime

    examples = Path(__file__).parents[2] / "examples"
    for name in ("low.xyz", "high.xyz"):
        write(folder / name, read(examples / name, index="::4"), format="extxyz")
    options = {"low": str(folder / "low.xyz"), "high": str(folder / "high.xyz"), "reading": {}}
    options |= {"low_name": None, "high_name": None}
    regime = Regime(n_low="all", n_high="all", labels="low=EF,high=EF", coverage="full", pairing="disjoint")
    return RunSpec("user", regime, "single_fidelity", 1e4, 0, 0, options=options)
