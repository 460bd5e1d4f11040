"""Rows in one file come back as they were, and a report of the file is the report of the runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mfbench.benchmarks.harness.rows_file import read_rows, write_rows
from mfbench.benchmarks.harness.store import COLUMNS, rows_frame
from mfbench.mfcore.errors import DataError
from tests.reliability.damage import damage


def some_rows() -> pd.DataFrame:
    base = dict.fromkeys(COLUMNS, "x") | {"n": 3, "n_failed": 0, "n_low": "all", "seed": 0, "trials": 4}
    base |= {"trial_atom_gradients": 2e5, "train_steps": 1600.0}
    values = {"single": 1 / 3, "transfer": 2e-7}
    return rows_frame(
        [base | {"arm": a, "n_high": n, "value": v, "draw": 1} for a, v in values.items() for n in ("25", "100")]
    )


def test_rows_come_back_and_equal_rows_are_equal_files(tmp_path: Path) -> None:
    rows, (one, two) = some_rows(), (tmp_path / "a.csv.gz", tmp_path / "b.csv.gz")
    write_rows(rows, one)
    write_rows(rows.sample(frac=1, random_state=1), two)
    assert one.read_bytes() == two.read_bytes()
    again = read_rows(one)
    key = ["arm", "n_high"]
    first, second = (t.sort_values(key).reset_index(drop=True) for t in (rows, again))
    assert list(second["n_high"]) == list(first["n_high"])
    assert second["trials"].tolist() == [4] * len(first)
    assert second["value"].tolist() == pytest.approx(first["value"].tolist(), rel=1e-7)


@pytest.mark.parametrize("content", [b"", b"not gzip", b"\x1f\x8b\x00"])
def test_what_is_no_file_of_rows_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.csv\.gz"):
        read_rows(path)
    with pytest.raises(DataError, match=r"expected a name that ends in \.csv\.gz"):
        write_rows(some_rows(), tmp_path / "rows.csv")


def test_rows_from_before_trials_and_steps_were_booked(tmp_path: Path) -> None:
    path = tmp_path / "old.csv.gz"
    write_rows(some_rows().drop(columns=["trials", "trial_atom_gradients", "train_steps"]), path)
    rows = read_rows(path)
    assert rows["trials"].tolist() == [0] * len(rows)
    assert rows["trial_atom_gradients"].tolist() == [0.0] * len(rows)
    assert rows["train_steps"].isna().all(), "not known is not none"


def rows_or_refusal(path: Path) -> tuple[str | None, str]:
    try:
        return read_rows(path).to_json(double_precision=15), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.parametrize("seeds", [range(80), pytest.param(range(80, 1000), marks=pytest.mark.slow)])
def test_damaged_files_of_rows_are_refused_or_say_the_same(tmp_path: Path, seeds: range) -> None:
    """Compressed files have a sum of their own; faults of the decompression were tracebacks."""
    path = tmp_path / "rows.csv.gz"
    write_rows(some_rows(), path)
    content, (right, _) = path.read_bytes(), rows_or_refusal(path)
    for seed in seeds:
        path.write_bytes(content)
        kind = damage(path, seed)
        found, refusal = rows_or_refusal(path)
        assert found in (right, None), (kind, seed)
        assert found or (str(path) in refusal and "\n" not in refusal)


def test_other_compressions_that_are_damaged_are_named(tmp_path: Path) -> None:
    for suffix in (".xz", ".bz2", ".zip", ".zst"):
        path = tmp_path / f"rows.csv{suffix}"
        path.write_bytes(b"\xfd7zXZ\x00 and nothing that follows")
        with pytest.raises(DataError, match="not a file of rows"):
            read_rows(path)
