"""Details go through the store and through files unchanged, and belong to the runs they came with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfbench.benchmarks.harness.columns import RUN_COLUMNS, detail_types
from mfbench.benchmarks.harness.details import UNREADABLE, read_detail
from mfbench.benchmarks.harness.parquet import read_parquet, sealed_parquet
from mfbench.benchmarks.harness.rows_file import write_details, write_rows
from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.errors import ConfigError, DataError
from tests.harness.test_store import row
from tests.reliability.damage import damage

BLOCKS = [
    {"split": "in_coverage", "metric": "energy_mae_mev_per_atom", "group": "a", "value": 1.5, "weight": 3},
    {"split": "in_coverage", "metric": "energy_mae_mev_per_atom", "group": "nan", "value": 0.1, "weight": 1},
]
PREDICTION = {
    "split": "in_coverage",
    "fidelity": "high",
    "structure_id": "s",
    "group": "a",
    "n_atoms": 1,
    "energy_ref_ev": -1.0,
    "energy_pred_ev": float("nan"),
    "force_ref": [],
    "force_pred": [0.5, 0.0, -1.0],
}


@pytest.fixture
def store(tmp_path):
    made = RunStore(tmp_path / "runs")
    made.save(
        "a" * 64, "finished", {"cell": 1}, [row("a" * 64, seed=3)], {"blocks": BLOCKS, "predictions": [PREDICTION]}
    )
    made.save("b" * 64, "finished", {"cell": 2}, [row("b" * 64, seed=4)])
    return made


@pytest.mark.parametrize("from_files", [False, True])
def test_details_come_back_with_their_run(store, tmp_path, from_files):
    source = store.root
    if from_files:
        source = tmp_path / "kept" / "rows.csv.gz"
        source.parent.mkdir()
        write_rows(store.rows(), source)
        written = write_details(store, source, list(detail_types()))
        assert sorted(path.name for path in written) == ["blocks.csv.gz", "predictions.parquet"]
    blocks = read_detail(source, "blocks").sort_values("value", ascending=False)
    assert list(blocks.columns) == [*RUN_COLUMNS, *detail_types()["blocks"]]
    assert blocks["run_key"].tolist() == ["a" * 64] * 2
    assert blocks["seed"].tolist() == [3, 3]
    assert blocks["value"].tolist() == [1.5, 0.1]
    assert blocks["weight"].tolist() == [3.0, 1.0]
    predictions = read_detail(source, "predictions")
    assert list(predictions.at[0, "force_pred"]) == [0.5, 0.0, -1.0]
    assert len(predictions.at[0, "force_ref"]) == 0
    assert np.isnan(predictions.at[0, "energy_pred_ev"])


def test_a_detail_that_no_run_has_is_an_empty_table_with_its_columns(store, tmp_path):
    table = read_detail(store.root, "survival")
    assert list(table.columns) == [*RUN_COLUMNS, *detail_types()["survival"]]
    assert not len(table)
    assert not len(read_detail(tmp_path / "rows.csv.gz", "hull"))
    assert store.details() == ["blocks", "predictions"]


def test_empty_names_and_missing_numbers_are_told_apart_in_files(tmp_path):
    store = RunStore(tmp_path / "runs")
    line = {"temperature_k": 300.0, "replica": 0, "start": "s", "time_ps": float("nan"), "limit_ps": 5.0}
    store.save(
        "c" * 64, "finished", {"cell": 1}, [row("c" * 64)], {"survival": [line | {"status": "error", "mode": ""}]}
    )
    write_details(store, tmp_path / "rows.csv.gz", ["survival"])
    table = read_detail(tmp_path / "rows.csv.gz", "survival")
    assert table.at[0, "mode"] == ""
    assert np.isnan(table.at[0, "time_ps"])


def test_predictions_may_be_of_some_draws_only(store, tmp_path):
    assert write_details(store, tmp_path / "rows.csv.gz", ["predictions"], list_draws=[7]) == []
    draw = int(store.rows()["draw"].iloc[0])
    assert len(write_details(store, tmp_path / "rows.csv.gz", ["predictions"], list_draws=[draw])) == 1


def test_a_changed_detail_is_refused(store):
    path = store.folder("a" * 64) / "blocks.parquet"
    pd.DataFrame(BLOCKS).assign(value=0.0).to_parquet(path, index=False)
    with pytest.raises(DataError, match=r"blocks\.parquet.*sha256"):
        store.detail("blocks")


def test_an_unknown_detail_is_refused(store):
    with pytest.raises(ConfigError, match="no detail 'colours'"):
        read_detail(store.root, "colours")
    with pytest.raises(ConfigError, match="no detail 'colours'"):
        store.save("d" * 64, "finished", {"cell": 1}, [row("d" * 64)], {"colours": []})


def test_an_incomplete_line_is_refused(store):
    with pytest.raises(KeyError, match="weight"):
        store.save(
            "d" * 64,
            "finished",
            {"cell": 1},
            [row("d" * 64)],
            {"blocks": [{"split": "s", "metric": "m", "group": "g", "value": 1.0}]},
        )


def test_a_changed_parquet_file_is_refused(tmp_path: Path) -> None:
    """Parquet sums no page that nobody asks it to: a flipped bit may give another number."""
    path = tmp_path / "predictions.parquet"
    table = pd.DataFrame({"run_key": ["a", "b"], "predicted": [[0.5, -1.25], [3.0]]})
    right = sealed_parquet(table)
    path.write_bytes(right)
    assert read_parquet(path, "Again.").equals(pd.read_parquet(path))
    for seed in range(60):
        path.write_bytes(right)
        damage(path, seed)
        try:
            assert read_parquet(path, "Again.")["predicted"].map(list).tolist() == [[0.5, -1.25], [3.0]]
        except (DataError, *UNREADABLE) as error:
            refusal = str(error)
            assert refusal
