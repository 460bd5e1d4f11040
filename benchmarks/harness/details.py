"""Details of runs: named tables beside the rows, such as errors by group, predictions, or survival times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pandas import DataFrame

RUN_COLUMNS = (*("run_key", "task", "arm", "n_low", "n_high", "labels", "pairing", "coverage", "e0", "seed", "draw"),)
"""What says, in rows and in details, which run a line belongs to."""

DETAILS: dict[str, dict[str, str]] = {
    # A metric's mean over one group (trajectory block, molecule); the row's value is the mean weighted by `weight`.
    "blocks": {"split": "str", "metric": "str", "group": "str", "value": "float64", "weight": "float64"},
    # Total energies; forces are flattened, empty where the frame has no label.
    "predictions": {
        "split": "str",
        "fidelity": "str",
        "structure_id": "str",
        "group": "str",
        "n_atoms": "int64",
        "energy_ref_ev": "float64",
        "energy_pred_ev": "float64",
        "force_ref": "object",
        "force_pred": "object",
    },
    "survival": {
        "temperature_k": "float64",
        "replica": "int64",
        "start": "str",
        "time_ps": "float64",
        "limit_ps": "float64",
        "status": "str",
        "mode": "str",
    },
    "drift": {"replica": "int64", "start": "str", "drift_mev_per_atom_per_ps": "float64", "time_ps": "float64"},
    "transport": {
        "temperature_k": "float64",
        "replica": "int64",
        "species": "str",
        "diffusivity_cm2_per_s": "float64",
        "diffusivity_stderr_cm2_per_s": "float64",
        "n_blocks": "int64",
        "time_ps": "float64",
        "survived": "bool",
    },
    # Mean-squared displacement of each element against the lag, mean over the replicas of a temperature that survived.
    "msd": {
        "temperature_k": "float64",
        "species": "str",
        "lag_ps": "float64",
        "msd_a2": "float64",
        "n_replicas": "int64",
    },
    "mixing": {
        "structure_id": "str",
        "x": "float64",
        "energy_ref_mev_per_atom": "float64",
        "energy_pred_mev_per_atom": "float64",
    },
    "hull": {
        "structure_id": "str",
        "x": "float64",
        "distance_ref_ev_per_atom": "float64",
        "distance_pred_ev_per_atom": "float64",
    },
    # Of end members at stored geometries, HF labels and predictions: what equations of state are fitted to.
    "eos": {
        "member": "str",
        "volume_a3_per_atom": "float64",
        "energy_ref_ev_per_atom": "float64",
        "energy_pred_ev_per_atom": "float64",
    },
}
"""Columns of each detail and their types; units are in the names."""

LISTS = ("predictions",)
"""Details with lists in their cells: kept as Parquet, the others as compressed CSV."""


def detail_frame(name: str, records: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Make a detail's table, columns and types fixed.

    Raises
    ------
    ConfigError
        If there is no such detail.
    KeyError
        If a record lacks a column.
    """
    import pandas as pd

    types = _types(name)
    return pd.DataFrame([{key: record[key] for key in types} for record in records], columns=list(types)).astype(types)


def detail_path(rows_file: Path, name: str) -> Path:
    """Where a detail lies that belongs to a file of rows."""
    return rows_file.parent / f"{name}{'.parquet' if name in LISTS else '.csv.gz'}"


def read_detail(source: Path, name: str) -> DataFrame:
    """Read a detail of all runs, each line with the columns that say which run it belongs to.

    Parameters
    ----------
    source
        Folder of runs, or a file of rows: the detail then lies beside it.
    name
        One of `DETAILS`.

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

    from mfbench.benchmarks.harness.store import RunStore

    types = _types(name)
    if source.is_dir():
        return RunStore(source).detail(name)
    path = detail_path(source, name)
    if not path.exists():
        return empty_detail(name)
    text = dict.fromkeys(("n_low", "n_high"), "str")
    try:
        if name in LISTS:
            table = pd.read_parquet(path)
        else:
            kept = {column: kind for column, kind in types.items() if kind == "str"}
            table = pd.read_csv(path, dtype=text | kept | {"run_key": "str"}, keep_default_na=False, na_values=["nan"])
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"not a file of {name} ({error}).", file=path, hint="`mfbench export` writes it.") from error
    missing = [column for column in (*RUN_COLUMNS, *types) if column not in table.columns]
    if missing:
        raise DataError(f"no column {', '.join(missing)}.", file=path, hint="`mfbench export` writes such files.")
    return table


def empty_detail(name: str) -> DataFrame:
    """Make the table of a detail that no run has."""
    import pandas as pd

    return pd.DataFrame(columns=[*RUN_COLUMNS, *_types(name)])


def _types(name: str) -> dict[str, str]:
    if name not in DETAILS:
        raise ConfigError(f"no detail '{name}': expected one of {', '.join(DETAILS)}.")
    return DETAILS[name]
