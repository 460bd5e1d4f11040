from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.store import COLUMNS, RunStore
from mfbench.mfcore.errors import DataError, StorageError
from tests.reliability.damage import damage

KEY, OTHER = "a" * 64, "b" * 64


def row(key: str, **values: object) -> dict[str, object]:
    texts = {"run_key": key, "task": "t", "arm": "x", "labels": "l", "pairing": "p", "coverage": "c", "e0": "d"}
    texts |= {"split": "s", "metric": "m", "unit": "u", "status": "finished", "date": "now"}
    texts |= {"mfbench_version": "1", "torch_version": "2"}
    return dict.fromkeys(COLUMNS, 0) | texts | {"n_low": 5, "n_high": "all", "value": 1.5} | values


def save(store: RunStore, key: str = KEY, cell: str = "one", **values: object) -> None:
    record = {"cell": cell, "identity": {}, "costs": {"x": math.nan}}
    store.save(key, "finished", record, [row(key, **values), row(key, metric="k", **values)])


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "deep" / "runs")
    assert store.status(KEY) is None
    save(store)
    assert store.status(KEY) == "finished"
    run = store.load(KEY)
    assert list(run.rows.columns) == list(COLUMNS)
    assert run.rows["n_high"].tolist() == ["all", "all"]
    assert run.rows["n_low"].tolist() == ["5", "5"]
    assert run.rows["value"].tolist() == [1.5, 1.5]
    assert run.record["costs"] == {"x": None}


def test_a_row_without_a_column_is_not_stored(tmp_path: Path) -> None:
    incomplete = row(KEY)
    del incomplete["unit"]
    with pytest.raises(KeyError, match="unit"):
        RunStore(tmp_path).save(KEY, "finished", {"cell": 1}, [incomplete])
    assert RunStore(tmp_path).status(KEY) is None


def test_a_record_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        RunStore(tmp_path).save(KEY, "finished", {"cell": {1, 2}}, [row(KEY)])
    assert list(tmp_path.iterdir()) == []


def test_saving_again_replaces(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store, value=1.0)
    save(store, value=2.0)
    assert store.load(KEY).rows["value"].tolist() == [2.0, 2.0]
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [KEY]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("record.json", lambda text: text[: len(text) // 2]),
        ("record.json", lambda text: text.replace(b'"schema": 2', b'"schema": 1')),
        ("record.json", lambda text: text.replace(KEY.encode(), OTHER.encode())),
        ("record.json", lambda text: b"[]"),
        ("rows.parquet", lambda content: content[:-1] + b"?"),
        ("rows.parquet", lambda content: b""),
    ],
)
def test_a_damaged_run_is_refused_by_name(tmp_path: Path, name: str, damage) -> None:
    store = RunStore(tmp_path)
    save(store)
    path = store.folder(KEY) / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        store.load(KEY)
    assert str(path) in str(caught.value)
    assert "Remove its folder" in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store)
    (store.folder(KEY) / "rows.parquet").unlink()
    with pytest.raises(DataError, match=r"rows\.parquet"):
        store.rows()


def test_only_the_last_planned_run_of_a_cell_is_reported(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store, KEY, cell="one", value=1.0)
    save(store, OTHER, cell="one", value=2.0)
    store.note_plan({digest("one"): KEY})
    assert set(store.rows()["run_key"]) == {KEY}
    store.note_plan({digest("one"): OTHER, digest("two"): "c" * 64})
    assert set(store.rows()["run_key"]) == {OTHER}
    assert len(json.loads((tmp_path / "plan.json").read_text())["cells"]) == 2


def test_a_folder_without_runs_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mfbench run"):
        RunStore(tmp_path / "nothing").rows()
    assert not (tmp_path / "nothing").exists()


def test_shared_stages_stay_while_a_run_may_need_them(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.shared.mkdir(parents=True)
    store.workdir(OTHER).mkdir()
    store.drop_shared()
    assert store.shared.is_dir()
    store.workdir(OTHER).rmdir()
    store.drop_shared()
    assert not store.shared.parent.exists()


def tables(store: RunStore) -> str:
    return store.rows().to_json() + store.detail("drift").to_json()


def tables_or_refusal(root: Path) -> tuple[str | None, str]:
    try:
        return tables(RunStore(root)), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 1500), marks=pytest.mark.slow)])
def test_stored_files_that_changed_are_refused_or_say_the_same(tmp_path: Path, seeds: range) -> None:
    whole = RunStore(tmp_path / "whole")
    drift = {"replica": 0, "start": "a", "drift_mev_per_atom_per_ps": 0.25, "time_ps": 1.0}
    for key, cell in ((KEY, "one"), (OTHER, "two"), ("c" * 64, "two")):
        whole.save(key, "finished", {"cell": cell}, [row(key)], {"drift": [drift]})
    whole.note_plan({digest("one"): KEY, digest("two"): OTHER})
    right = tables(whole)
    files = sorted(p.relative_to(whole.root) for p in whole.root.rglob("*") if p.is_file())
    assert len(files) == 10
    same = 0
    for seed in seeds:
        copy = tmp_path / "copy"
        shutil.copytree(whole.root, copy)
        file = files[seed % len(files)]
        kind = damage(copy / file, seed)
        found, refusal = tables_or_refusal(copy)
        assert found in (right, None), (file, kind, seed)
        if found is None:
            assert str(copy) in refusal
            assert "\n" not in refusal
        same += found is not None
        shutil.rmtree(copy)
    # the files of the run that no cell stands for any more, but for its record; digits that there were none of
    assert same < len(seeds) / 2


def test_a_plan_with_another_digit_is_refused(tmp_path: Path) -> None:
    """One such digit dropped a run from all tables."""
    store = RunStore(tmp_path)
    save(store)
    store.note_plan({digest("one"): KEY})
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace(KEY, KEY[:-1] + "b"))
    with pytest.raises(DataError, match=r"plan\.json.* was changed since it was written"):
        store.rows()


def test_a_record_without_the_sums_of_its_details_is_refused(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store)
    path = store.folder(KEY) / "record.json"
    record = json.loads(path.read_text())
    del record["details_sha256"]
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="details_sha256"):
        store.rows()


def test_planned_runs_that_are_not_stored_are_counted(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store)
    store.note_plan({digest("one"): KEY, digest("two"): OTHER})
    assert store.missing() == 1


def test_without_a_plan_two_runs_of_one_cell_are_not_mixed(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store, KEY, cell="one")
    save(store, OTHER, cell="one")
    with pytest.raises(DataError, match=r"plan\.json: missing"):
        store.rows()


def test_half_written_runs_are_swept(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store)
    (tmp_path / "runs" / ".aaaaaaaaaaaa-x").mkdir()
    (tmp_path / ".plan.mfbench-x.json").write_text("{")
    store.sweep()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [KEY]
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_checkpoints_that_a_kill_has_left_of_a_finished_run_are_swept(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store)
    for key in (KEY, OTHER):
        store.workdir(key).mkdir(parents=True)
    store.shared.mkdir()
    (store.shared / ".stage-x.mfbench-y.safetensors").write_text("half")
    store.sweep()
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == sorted([OTHER, "shared"])
    assert not list(store.shared.iterdir())


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_fault_of_the_disk_at_any_write_leaves_no_half_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """The n-th call of the system that writes fails, for each n until saving succeeds."""
    store, calls = RunStore(tmp_path), [0]

    def failing(function: Callable[..., object], n: int) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            calls[0] += 1
            if calls[0] == n:
                raise OSError(fault, os.strerror(fault))
            return function(*args, **options)

        return call

    for n in range(1, 100):
        calls[0] = 0
        with monkeypatch.context() as patch:
            for name in ("fsync", "rename", "replace", "mkdir", "open"):
                patch.setattr(os, name, failing(getattr(os, name), n))
            patch.setattr(Path, "write_bytes", failing(Path.write_bytes, n))
            patch.setattr(Path, "write_text", failing(Path.write_text, n))
            try:
                save(store)
                break
            except StorageError:
                pass
        assert store.status(KEY) is None or store.load(KEY).rows["value"].tolist() == [1.5, 1.5]
        assert [p for p in (tmp_path / "runs").glob("*") if p.name != KEY] == []
    else:
        pytest.fail("it never succeeds")
    assert n > 5
    assert store.load(KEY).status == "finished"
