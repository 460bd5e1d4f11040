"""Rows in one file: what `results/` keeps of a folder of runs."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.columns import RULES, STARTS_FROM, change_texts, has_lists, with_every_axis, with_rules
from mfbench.benchmarks.harness.details import UNREADABLE, check_numbers, detail_path, reason
from mfbench.benchmarks.harness.parquet import sealed_parquet
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import write_bytes
from mfbench.mfcore.text import csv_text, of_csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mfbench.benchmarks.harness.store import RunStore

SUFFIX = ".csv.gz"


ORDER = ("task", "core", "labels", "selection", "budget", "n_high", "arm", "draw", "seed", "split", "metric", "run_key")
"""Columns that lines are sorted by, as far as they have them."""


def write_rows(rows: pd.DataFrame, path: Path, *, na_rep: str = "") -> None:
    """Write rows, or a detail, as compressed CSV, the same bytes for the same rows.

    Raises
    ------
    DataError
        If the file's name does not end in .csv.gz.
    """
    if not path.name.endswith(SUFFIX):
        raise DataError(f"expected a name that ends in {SUFFIX}.", file=path)
    first = ["part", "fidelity", "draw"] if "part" in rows.columns else []  # equal lists of frames side by side: small
    order = [*first, *(name for name in ORDER if name in rows.columns and name not in first)]
    text = change_texts(rows.sort_values(order, kind="stable"), csv_text).to_csv(
        index=False, float_format="%.8g", lineterminator="\n", na_rep=na_rep
    )
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as stream:  # no time, so that equal rows are equal files
        stream.write(text.encode())
    write_bytes(path, content.getvalue())


def write_details(
    store: RunStore, rows_file: Path, names: Sequence[str], *, list_draws: Sequence[int] | None = None
) -> list[Path]:
    """Write details of a folder of runs beside a file of rows; those that no run has are left out.

    Parameters
    ----------
    names
        Of the details.
    list_draws
        Draws of which details with lists in their cells, which are large, are written; None: all.

    Returns
    -------
    list of Path
        The files written.
    """
    written = []
    for name in names:
        table = store.detail(name)
        if has_lists(name) and list_draws is not None:
            table = table[table["draw"].isin(list_draws)]
        if not len(table):
            continue
        path = detail_path(rows_file, name)
        if has_lists(name):
            order = [column for column in ORDER if column in table.columns]
            write_bytes(path, sealed_parquet(table.sort_values(order, kind="stable")))
        else:
            write_rows(table, path, na_rep="nan")  # an empty cell is an empty name there
        written.append(path)
    return written


def read_rows(path: Path) -> pd.DataFrame:
    """Read rows from a file that :func:`write_rows` wrote, or from a folder of runs.

    Raises
    ------
    DataError
        If there are none, or they cannot be read.
    """
    from mfbench.benchmarks.harness.store import COLUMNS, RunStore, with_costs

    if path.is_dir():
        return RunStore(path).rows()
    if not path.exists():
        raise DataError("there is no such folder or file.", file=path, hint="Give DIR of runs or a .csv.gz.")
    import pandas as pd

    try:
        found = pd.read_csv(path, dtype=dict.fromkeys(("n_low", "n_high", "run_key", *RULES, STARTS_FROM), "str"))
        rows = with_rules(with_every_axis(with_costs(change_texts(found, of_csv_text))))
    except UNREADABLE as error:
        raise DataError(
            f"not a file of rows ({reason(error)}).", file=path, hint="Give DIR of runs or a .csv.gz."
        ) from error
    missing = [name for name in COLUMNS if name not in rows.columns]
    if missing:
        raise DataError(f"no column {', '.join(missing)}.", file=path, hint="`mfbench export` writes such files.")
    check_numbers(rows, ["value", "n", "n_failed", "seed", "draw"], path)
    return rows
