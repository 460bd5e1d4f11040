from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.store import COLUMNS, RunStore
from mfbench.mfcore.errors import DataError

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
    assert list((tmp_path / "runs").iterdir()) == []


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
        ("record.json", lambda text: text.replace(b'"schema": 1', b'"schema": 99')),
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
