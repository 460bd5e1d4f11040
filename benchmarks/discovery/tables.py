"""Tables in CSV, JSON or Parquet, compressed or not, of bounded size: a few columns are read, as text or numbers.

A compressed file of a megabyte may hold gigabytes, so that what comes out is counted while it is decompressed. Rows of
a CSV that have another number of fields than the header are refused: with decimal commas every number has two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.discovery.packed import COMPRESSED, DAMAGED, opened, reason_of
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.settings_model import shortened

if TYPE_CHECKING:
    from pandas import DataFrame

LARGEST_BYTES = 512 * 2**20
"""Decompressed; the summary of the WBM test set has about 100 MB."""

LARGEST_JSON_BYTES = 32 * 2**20
MOST_ROWS = 2_000_000
MOST_OBJECTS = 1_000_000
"""Lists and objects of a JSON file; each takes some twenty times its two characters."""

LONGEST_LINE_BYTES = 2**20
_USUAL = "such files have a hundred megabytes at most"
_MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>")
"""Cells without a value, as pandas has them."""

Keep = Callable[[str], bool]


def read_table(path: Path, index: str, keep: Keep) -> tuple[DataFrame, list[str]]:
    """Read some columns of a table.

    Parameters
    ----------
    index
        Column that is text; a JSON or Parquet file that has none is taken to have it as its index.
    keep
        Says which columns are read.

    Returns
    -------
    tuple
        The table, with numbers in columns of text as text; and the names of all columns of the file.

    Raises
    ------
    DataError
        If the file cannot be read, is too large, has a column that is kept twice, or a row with another number of
        fields than the header.
    """
    import pyarrow as pa

    kind = Path(path.stem).suffix if path.suffix.lower() in COMPRESSED else path.suffix
    readers = {".csv": _csv, ".json": _json}
    if kind == path.suffix:
        readers[".parquet"] = _parquet
    if kind.lower() not in readers:
        raise DataError("expected a .csv, .csv.gz (.bz2, .xz, .zip), .json, .json.gz or .parquet file.", file=path)
    if not path.is_file():
        why = "a folder has this name" if path.is_dir() else "there is no such file"
        raise DataError(f"cannot be read: {why}; is the name right?", file=path)
    try:
        return readers[kind.lower()](path, index, keep)
    except (ValueError, *DAMAGED, pa.ArrowException) as error:
        raise DataError(f"cannot be read: {reason_of(error)}", file=path) from error


def _csv(path: Path, index: str, keep: Keep) -> tuple[DataFrame, list[str]]:
    import pyarrow as pa
    from pyarrow import csv

    odd = list[Any]()

    def note(row: Any) -> str:
        odd.append(row)
        return "error"

    header = _header(path)
    kept = [name for name in header if keep(name)]
    for name in kept:
        if kept.count(name) > 1:
            raise DataError(f"column {shortened(name)} is there twice; remove one.", file=path)
    if not kept:
        import pandas as pd

        return pd.DataFrame(), header
    batches = list[pa.RecordBatch]()
    with opened(path, LARGEST_BYTES, _USUAL) as stream:
        try:
            reader = csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                csv.ReadOptions(use_threads=False, block_size=LONGEST_LINE_BYTES),
                csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
                csv.ConvertOptions(
                    include_columns=kept,
                    column_types=dict.fromkeys(kept, pa.string()),
                    null_values=_MISSING,
                    strings_can_be_null=True,
                ),
            )
            rows = 0
            for batch in reader:
                rows += batch.num_rows
                if rows > MOST_ROWS:
                    raise DataError(f"there are more than {MOST_ROWS:,} rows; is it the right file?", file=path)
                batches.append(batch)
        except pa.ArrowInvalid as error:
            if odd:
                raise _odd_row(odd[0], path) from None
            if "straddling" in str(error):
                raise DataError(f"a line has more than {LONGEST_LINE_BYTES:,} bytes.", file=path) from None
            raise
    table = pa.Table.from_batches(batches, reader.schema) if batches else reader.schema.empty_table()
    return table.to_pandas(), header


def _header(path: Path) -> list[str]:
    import csv

    with opened(path, LARGEST_BYTES, _USUAL) as stream:
        line = stream.readline(LONGEST_LINE_BYTES + 1)
        while line.strip() == b"" and line:
            line = stream.readline(LONGEST_LINE_BYTES + 1)
    if len(line) > LONGEST_LINE_BYTES:
        raise DataError(f"a line has more than {LONGEST_LINE_BYTES:,} bytes.", file=path)
    try:
        names = next(csv.reader([line.decode("utf-8-sig")]), [])
    except csv.Error as error:
        raise ValueError(f"header: {error}") from error
    if not names:
        raise DataError("cannot be read: there is no line in it.", file=path)
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise DataError(
            f"the header has semicolons or tabs between its fields: {shortened(names[0])}; expected commas.",
            file=path,
            hint="Save it with commas between fields and points in decimals.",
        )
    return names


def _odd_row(row: Any, path: Path) -> DataError:
    commas = row.actual_columns > row.expected_columns
    hint = "Is it a decimal comma? Write decimals with a point, and quote texts with commas." if commas else None
    number = "" if row.number is None else f" {row.number}"
    return DataError(
        f"row{number} has {row.actual_columns} fields, the header has {row.expected_columns}: {shortened(row.text)}.",
        file=path,
        hint=hint,
    )


def _json(path: Path, index: str, keep: Keep) -> tuple[DataFrame, list[str]]:
    """Columns of values by id, as pandas writes them, or a list of records."""
    import pandas as pd

    with opened(path, LARGEST_JSON_BYTES, _USUAL) as stream:
        content = stream.read()
    if content.count(b"{") + content.count(b"[") > MOST_OBJECTS:
        raise DataError(f"there are more than {MOST_OBJECTS:,} lists and objects.", file=path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in found if names.count(name) > 1) if len(names) < 1000 else "one of many"
            raise ValueError(f"key {shortened(twice)} stands twice in one object")
        return found

    found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=once)
    if isinstance(found, list) and all(isinstance(item, dict) for item in found):
        names = list(dict.fromkeys(str(name) for item in found for name in item))
        columns: dict[str, Any] = {name: [item.get(name) for item in found] for name in names}
    elif isinstance(found, dict) and all(isinstance(column, dict | list) for column in found.values()):
        columns, names = found, list(found)
    else:
        raise ValueError("expected columns of values by id, or a list of records")
    lengths = {len(column) for column in columns.values() if isinstance(column, list)}
    if len(lengths) > 1 or (lengths and not all(isinstance(column, list) for column in columns.values())):
        raise ValueError("the columns are not of one length")
    chosen = {name: column for name, column in columns.items() if name == index or keep(name)}
    table = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in chosen.items()})
    if index not in table and columns:
        table = table.rename_axis(index=index).reset_index()
    return table[[name for name in table.columns if keep(str(name))]], names


def _parquet(path: Path, index: str, keep: Keep) -> tuple[DataFrame, list[str]]:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        rows, names = file.metadata.num_rows, list(file.schema_arrow.names)
        texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
    if rows > MOST_ROWS:
        raise DataError(f"there are more than {MOST_ROWS:,} rows; is it the right file?", file=path)
    stored = [name for name in names if keep(name) or name == index or name.startswith("__index_level_")]
    for name in stored:
        if stored.count(name) > 1:
            raise DataError(f"column {shortened(name)} is there twice; remove one.", file=path)
    with parquet.ParquetFile(path, read_dictionary=[name for name in stored if name in texts]) as file:
        found = file.read(columns=stored, use_threads=False)
    if found.nbytes > LARGEST_BYTES:
        raise DataError(f"the columns have more than {LARGEST_BYTES:,} bytes.", file=path)
    table = found.to_pandas(ignore_metadata=True)  # which need not be right, and says nothing that is needed
    unnamed = [name for name in stored if name.startswith("__index_level_")]
    if index not in table and len(unnamed) == 1:
        table = table.rename(columns={unnamed[0]: index})
    for name in table.columns:
        if isinstance(table[name].dtype, pd.CategoricalDtype):
            table[name] = table[name].astype(object)
    return table[[name for name in table.columns if keep(str(name))]], names
