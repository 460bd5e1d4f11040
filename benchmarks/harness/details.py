"""Details of runs: named tables beside the rows, such as errors by group, predictions, or survival times."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.columns import (
    RUN_COLUMNS,
    change_texts,
    empty_detail,
    has_lists,
    types_of,
    with_every_axis,
)
from mfbench.benchmarks.harness.parquet import read_parquet
from mfbench.benchmarks.harness.store import RunStore
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.text import of_csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame


UNREADABLE = (OSError, EOFError, ValueError, ImportError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""Errors of readers at files that are damaged or something else."""


def detail_path(rows_file: Path, name: str) -> Path:
    """Give the path of a detail that belongs to a file of rows; one with lists is kept as Parquet, others as CSV."""
    return rows_file.parent / f"{name}{'.parquet' if has_lists(name) else '.csv.gz'}"


def read_detail(source: Path, name: str) -> DataFrame:
    """Read a detail of all runs, each line with the columns that say which run it belongs to.

    Parameters
    ----------
    source
        Folder of runs, or a file of rows: the detail then lies beside it.
    name
        Name of a detail that an observable declares.

    Returns
    -------
    DataFrame
        Empty, with all columns, if no run has the detail.

    Raises
    ------
    ConfigError
        If there is no such detail.
    DataError
        If it cannot be read.
    """
    import pandas as pd

    types = types_of(name)
    if source.is_dir():
        return RunStore(source).detail(name)
    path = detail_path(source, name)
    if not path.exists():
        return empty_detail(name)
    text = dict.fromkeys(("n_low", "n_high"), "str")
    try:
        if has_lists(name):
            table = read_parquet(path, "`mfbench export` writes it.")
        else:
            kept = {column: kind for column, kind in types.items() if kind == "str"}
            table = pd.read_csv(path, dtype=text | kept | {"run_key": "str"}, keep_default_na=False, na_values=["nan"])
    except UNREADABLE as error:
        raise DataError(
            f"not a file of {name} ({reason(error)}).", file=path, hint="`mfbench export` writes it."
        ) from error
    table = with_every_axis(table if has_lists(name) else change_texts(table, of_csv_text))
    missing = [column for column in (*RUN_COLUMNS, *types) if column not in table.columns]
    if missing:
        raise DataError(f"no column {', '.join(missing)}.", file=path, hint="`mfbench export` writes such files.")
    check_numbers(table, [column for column, kind in types.items() if kind.startswith(("int", "float"))], path)
    return table


def reason(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def check_numbers(table: DataFrame, columns: Sequence[str], path: Path) -> None:
    """Raise DataError if a column has what is no number: so has a file that was written to twice."""
    from pandas.api.types import is_numeric_dtype

    for column in columns:
        if len(table) and not is_numeric_dtype(table[column]):
            raise DataError("not all are numbers.", file=path, key=column, hint="`mfbench export` writes such files.")
