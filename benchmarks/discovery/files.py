"""Reading of Matbench Discovery's files: predictions of a model, and the summary of the WBM test set."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.discovery.score import FORMATION, HULL, UNIQUE
from mfbench.benchmarks.discovery.tables import read_table
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.settings_model import shortened

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ID = "material_id"
CORRECTION = "e_correction_per_atom_mp2020"
PREDICTED = "e_form"
"""Parts of the name of a column of predicted formation energies; the DFT ones in the summary have it, too."""

REFERENCES = (FORMATION, "e_form_per_atom_uncorrected", "e_form_per_atom_wbm")
LONGEST_NAME = 60
"""Characters of a column's name in a message."""

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
    read, names = read_table(
        path, id_column, lambda name: name in wanted if wanted else name == id_column or PREDICTED in name
    )
    table = _indexed(read, path, id_column, names)
    if column is None:
        candidates = [str(name) for name in table.columns if PREDICTED in str(name) and name not in REFERENCES]
        if len(candidates) != 1:
            found = f"{len(candidates)} could be it: {_listed(candidates)}" if candidates else _found(names)
            raise DataError(
                f"expected one column of predicted formation energies, '{PREDICTED}_per_atom_MODEL'; {found}.",
                file=path,
                hint="Name it with --column.",
            )
        (column,) = candidates
    if column not in table:
        raise DataError(f"no such column; {_found(names)}.", file=path, key=column)
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
    read, names = read_table(path, ID, lambda name: name in (ID, *wanted))
    table = _indexed(read, path, ID, names)
    for name in wanted:
        if name not in table:
            only = " Without it, only --subset full can be scored." if name == UNIQUE else ""
            raise DataError(f"no such column; {_found(names)}.{only}", file=path, key=name, hint=SUMMARY_HINT)
    table = table[wanted].copy()
    for name in (HULL, FORMATION):
        table[name] = _numbers(table[name], path)
        missing = table.index[table[name].isna()]
        if len(missing):
            raise DataError(
                f"{len(missing)} materials have no value, such as {shortened(missing[0])}.", file=path, key=name
            )
        if not np.isfinite(table[name]).all():
            row = table.index[~np.isfinite(table[name])][0]
            raise DataError(f"material {shortened(row)}: expected a finite energy.", file=path, key=name)
    if unique:
        flags = table[UNIQUE].astype(str).str.lower().map({"true": True, "1": True, "false": False, "0": False})
        if flags.isna().any():
            row = flags.index[flags.isna()][0]
            raise DataError(f"material {shortened(row)}: expected true or false.", file=path, key=UNIQUE)
        table[UNIQUE] = flags.astype(bool)
    return table


def read_corrections(path: Path) -> dict[str, float]:
    """Read the Materials Project's energy corrections, eV/atom, by material id, such as the WBM summary has.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, an id is there twice, or a value is no number. An empty cell is a
        missing correction, and left out.
    """
    read, names = read_table(path, ID, lambda name: name in (ID, CORRECTION))
    table = _indexed(read, path, ID, names)
    if CORRECTION not in table:
        raise DataError(f"no such column; {_found(names)}.", file=path, key=CORRECTION, hint=SUMMARY_HINT)
    return {str(name): float(value) for name, value in _numbers(table[CORRECTION], path).dropna().items()}


def _indexed(table: DataFrame, path: Path, id_column: str, names: list[str]) -> DataFrame:
    if id_column not in table:
        raise DataError(f"no such column; {_found(names)}.", file=path, key=id_column, hint="Name it with --id.")
    if table[id_column].isna().any():
        row = int(table[id_column].isna().to_numpy().argmax())
        raise DataError(f"row {row} has no id.", file=path, key=id_column)
    table = table.assign(**{id_column: table[id_column].astype(str)}).set_index(id_column)
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise DataError(
            f"{len(twice)} ids are there more than once, such as {shortened(twice[0])}.", file=path, key=id_column
        )
    return table


def _numbers(values: Series[Any], path: Path) -> Series[float]:
    """Numbers as Python reads them, exactly; a cell without a value is NaN."""
    numbers = np.empty(len(values))
    for place, value in enumerate(values.array):
        number = _number(value)
        if number is None:
            hint = "Is it a decimal comma? Write a point." if isinstance(value, str) and "," in value else None
            raise DataError(
                f"material {shortened(values.index[place])}: expected a number, found {shortened(value)}.",
                file=path,
                key=str(values.name),
                hint=hint,
            )
        numbers[place] = number
    import pandas as pd

    return pd.Series(numbers, values.index, name=values.name)


def _number(value: Any) -> float | None:
    """The number of a cell; None if it has none, and NaN if it is empty."""
    if value is None or value is _missing():
        return math.nan
    if isinstance(value, bool | np.bool_) or (isinstance(value, str) and "_" in value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


@cache
def _missing() -> Any:
    import pandas as pd

    return pd.NA


def _found(names: list[str]) -> str:
    return f"there are {_listed(names)}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…" for name in names[:12])
    return shown + (" and others" if len(names) > 12 else "")
