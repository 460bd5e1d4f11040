"""Reading of Matbench Discovery's files: predictions of a model, and the summary of the WBM test set."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.discovery.score import FORMATION, HULL, UNIQUE
from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ID = "material_id"
PREDICTED = "e_form"
"""Parts of the name of a column of predicted formation energies; the DFT ones in the summary have it, too."""

REFERENCES = (FORMATION, "e_form_per_atom_uncorrected", "e_form_per_atom_wbm")
COMPRESSED = (".gz", ".bz2", ".xz")
SUMMARY_HINT = "Expected the WBM summary of Matbench Discovery (https://figshare.com/articles/dataset/22715158)."


def read_predictions(path: Path, *, column: str | None = None, id_column: str = ID) -> Series[float]:
    """Read predicted formation energies, eV/atom, by material id.

    Parameters
    ----------
    path
        A .csv, .json (columns of values, as pandas writes it) or .parquet file; the first two may be compressed.
    column
        The predictions' column; by default the only one with "e_form" in its name that is not of the test set.

    Raises
    ------
    DataError
        If the file cannot be read; lacks a column or has several candidates; an id is missing or there twice; or a
        prediction is not a number. An empty cell is a missing prediction, not an error.
    """
    wanted = {id_column, column} if column else None
    table = _indexed(
        _read(path, id_column, lambda name: name in wanted if wanted else name == id_column or PREDICTED in name),
        path,
        id_column,
    )
    if column is None:
        candidates = [str(name) for name in table.columns if PREDICTED in str(name) and name not in REFERENCES]
        if len(candidates) != 1:
            found = f"{len(candidates)} could be it: {', '.join(candidates[:8])}" if candidates else _found(path)
            raise DataError(
                f"expected one column of predicted formation energies, '{PREDICTED}_per_atom_MODEL'; {found}.",
                file=path,
                hint="Name it with --column.",
            )
        (column,) = candidates
    if column not in table:
        raise DataError(f"no such column; {_found(path)}.", file=path, key=column)
    return _numbers(table[column], path)


def read_summary(path: Path, *, unique: bool = True) -> DataFrame:
    """Read DFT distances to the hull and formation energies (eV/atom) by material id, and which prototypes are unique.

    Parameters
    ----------
    unique
        Whether the column of unique prototypes is needed.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, an id is there twice, or a value is missing.
    """
    wanted = [HULL, FORMATION, *([UNIQUE] if unique else [])]
    table = _indexed(_read(path, ID, lambda name: name in (ID, *wanted)), path, ID)
    for name in wanted:
        if name not in table:
            only = " Without it, only --subset full can be scored." if name == UNIQUE else ""
            raise DataError(f"no such column; {_found(path)}.{only}", file=path, key=name, hint=SUMMARY_HINT)
    table = table[wanted].copy()
    for name in (HULL, FORMATION):
        table[name] = _numbers(table[name], path)
        missing = table.index[table[name].isna()]
        if len(missing):
            raise DataError(f"{len(missing)} materials have no value, such as {missing[0]}.", file=path, key=name)
    if unique:
        flags = table[UNIQUE].astype(str).str.lower().map({"true": True, "1": True, "false": False, "0": False})
        if flags.isna().any():
            row = flags.index[flags.isna()][0]
            raise DataError(f"material {row}: expected true or false.", file=path, key=UNIQUE)
        table[UNIQUE] = flags.astype(bool)
    return table


def _read(path: Path, id_column: str, keep: Callable[[str], bool]) -> DataFrame:
    """Read the columns that `keep` says; ids as text."""
    import pandas as pd

    kind = Path(path.stem).suffix if path.suffix.lower() in COMPRESSED else path.suffix
    try:
        if kind.lower() == ".csv":
            return pd.read_csv(path, usecols=keep, dtype={id_column: str}, low_memory=False)
        if kind.lower() == ".json":
            table = pd.read_json(path, dtype=False, convert_axes=False)
        elif kind.lower() == ".parquet" and kind == path.suffix:
            table = pd.read_parquet(path)
        else:
            raise DataError("expected a .csv, .csv.gz, .json, .json.gz or .parquet file.", file=path)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}", file=path) from error
    if id_column not in table:  # written with the ids as its index
        table = table.rename_axis(index=id_column).reset_index()
    return table[[name for name in table.columns if keep(str(name))]]


def _indexed(table: DataFrame, path: Path, id_column: str) -> DataFrame:
    if id_column not in table:
        raise DataError(f"no such column; {_found(path)}.", file=path, key=id_column, hint="Name it with --id.")
    if table[id_column].isna().any():
        row = int(table[id_column].isna().to_numpy().argmax())
        raise DataError(f"row {row} has no id.", file=path, key=id_column)
    table = table.assign(**{id_column: table[id_column].astype(str)}).set_index(id_column)
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise DataError(f"{len(twice)} ids are there more than once, such as {twice[0]}.", file=path, key=id_column)
    return table


def _numbers(values: Series[Any], path: Path) -> Series[float]:
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    bad = values.index[numbers.isna() & values.notna()]
    if len(bad):
        raise DataError(
            f"material {bad[0]}: expected a number, found {values[bad[0]]!r}.", file=path, key=str(values.name)
        )
    return numbers


def _found(path: Path) -> str:
    names = [str(name) for name in _read(path, "", lambda name: bool(name)).columns]
    return f"there are {', '.join(names[:12])}{' and others' if len(names) > 12 else ''}"
