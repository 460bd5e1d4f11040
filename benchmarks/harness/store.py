"""Stored runs: one folder a run, written whole or not at all.

DIR/plan.json                  which run stands for which cell of the grid (the last planned one)
DIR/runs/<key>/record.json     identity, status, costs, versions
DIR/runs/<key>/rows.parquet    one line per metric
DIR/runs/<key>/NAME.parquet    a detail, see mfbench.benchmarks.harness.details
DIR/work/<key>/                checkpoints of a run that has not ended
"""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from mfbench.benchmarks.harness.columns import (
    RUN_COLUMNS,
    detail_frame,
    detail_types,
    empty_detail,
    with_every_axis,
    with_rules,
)
from mfbench.benchmarks.harness.keys import digest
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import make_folder, rename_folder, storage, sweep, sweep_folder
from mfbench.mfcore.sealed import read_sealed, sealed, without_nan, write_sealed

SCHEMA = 2
_KEYS = ("key", "status", "cell", "rows_sha256", "details_sha256")
COLUMNS = (
    *RUN_COLUMNS,
    *("selected_by", "split_rule", "starts_from"),
    *("split", "metric", "unit", "value", "n", "n_failed", "status"),
    *("label_cost_cpu_s", "train_atom_gradients", "train_steps", "train_wall_s", "train_cpu_s"),
    *("inference_us_per_atom", "inference_evaluations", "n_parameters"),
    *("trials", "trial_atom_gradients"),
    *("mfbench_version", "torch_version", "date"),
)
REMEDY = "Remove its folder and run the same command again: the run is then computed anew."
PLAN_REMEDY = "Remove it and run the preset again: it says which stored runs are the present ones."

Status = Literal["finished", "failed"]


@dataclass(frozen=True)
class StoredRun:
    """A run as it was stored: its record and its rows (columns :data:`COLUMNS`)."""

    record: dict[str, Any]
    rows: pd.DataFrame

    @property
    def status(self) -> Status:
        """Status of the run: it finished, or it failed."""
        status: Status = self.record["status"]
        return status


@dataclass(frozen=True)
class PackedRun:
    """A run that ended, as it goes to the store.

    Attributes
    ----------
    key
        The run key.
    reason
        Reason why it failed, also in part; None if it finished.
    files
        Content by name.
    """

    key: str
    status: Status
    reason: str | None
    files: Mapping[str, bytes]


def packed(
    key: str,
    status: Status,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    details: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> PackedRun:
    """Make the files of a run that ended.

    Parameters
    ----------
    record
        JSON values; NaN is written as null. Of a failed run the key "reason" says why.
    rows
        Mappings with all of :data:`COLUMNS`.
    details
        By name, mappings with the columns of that detail.
    """
    tables = {"rows": _parquet(rows_frame(rows))}
    for name, lines in (details or {}).items():
        tables[name] = _parquet(detail_frame(name, lines))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    head = {
        "schema": SCHEMA,
        "key": key,
        "status": status,
        "rows_sha256": sums.pop("rows"),
        "details_sha256": sums,
    }
    files = {f"{name}.parquet": content for name, content in tables.items()}
    files["record.json"] = sealed(head | without_nan(record)).encode()
    return PackedRun(key, status, record.get("reason"), files)


class RunStore:
    """The runs under one folder.

    Parameters
    ----------
    root
        Folder; made when the first run is saved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._runs = root / "runs"
        self._plan = root / "plan.json"

    def folder(self, key: str) -> Path:
        """Where a run is stored."""
        return self._runs / key

    def workdir(self, key: str) -> Path:
        """Where a run that has not finished keeps its checkpoints."""
        return self.root / "work" / key

    def sweep(self) -> None:
        """Remove what killed processes have left half-written; for the one who holds the folder's lock."""
        for left in self._runs.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        for work in self.shared.parent.glob("*"):
            if self.folder(work.name).is_dir() and self.status(work.name) == "finished":
                shutil.rmtree(work, ignore_errors=True)
        sweep_folder(self.shared, [".safetensors", ".ckpt"])
        sweep(self._plan)

    @property
    def shared(self) -> Path:
        """Where runs keep the training stages that they have in common."""
        return self.root / "work" / "shared"

    def drop_shared(self) -> None:
        """Drop the shared stages, unless a run that has not finished may need them."""
        work = self.shared.parent
        if work.is_dir() and all(path == self.shared for path in work.iterdir()):
            shutil.rmtree(work)

    def status(self, key: str) -> Status | None:
        """Status of a stored run, None if there is none.

        Raises
        ------
        DataError
            If the record cannot be read or belongs to another run.
        """
        if not self.folder(key).exists():
            return None
        status: Status = self._record(key)["status"]
        return status

    def load(self, key: str) -> StoredRun:
        """Read a run.

        Raises
        ------
        DataError
            If it is missing, cannot be read, was changed since it was written, or has another schema.
        """
        record = self._record(key)
        return StoredRun(record, with_rules(with_every_axis(self._table(key, "rows", record["rows_sha256"]))))

    def _table(self, key: str, name: str, sha256: str) -> pd.DataFrame:
        path = self.folder(key) / f"{name}.parquet"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read ({error}).", file=path, hint=REMEDY) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DataError(
                "is not the file that was written: its sha256 differs from the record's.",
                file=path,
                hint=REMEDY,
            )
        return pd.read_parquet(io.BytesIO(content))

    def _record(self, key: str) -> dict[str, Any]:
        path = self.folder(key) / "record.json"
        record = read_sealed(path, "the record of a run", SCHEMA, REMEDY, keys=_KEYS)
        if record["key"] != key or record["status"] not in ("finished", "failed"):
            raise DataError("not the record of the run that its folder names.", file=path, key="key", hint=REMEDY)
        return record

    def save(
        self,
        key: str,
        status: Status,
        record: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        details: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> None:
        """Store a run that ended: :meth:`put` of what :func:`packed` makes of it."""
        self.put(packed(key, status, record, rows, details))

    def put(self, run: PackedRun) -> None:
        """Store a run that ended, in one step, and drop its checkpoints if it finished."""
        key = run.key
        make_folder(self._runs)
        with storage(self.folder(key)):
            # Beside the final folder, so that the rename stays on one file system; the dot hides it.
            fresh = Path(tempfile.mkdtemp(prefix=f".{key[:12]}-", dir=self._runs))
            try:
                for name, content in run.files.items():
                    (fresh / name).write_bytes(content)
                fresh.chmod(0o755)
                if self.folder(key).exists():
                    shutil.rmtree(self.folder(key))
                rename_folder(fresh, self.folder(key))
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
        if run.status == "finished":
            shutil.rmtree(self.workdir(key), ignore_errors=True)

    def note_plan(self, cells: Mapping[str, str]) -> None:
        """Record which run (value: key) stands for which cell of the grid (key: digest of the cell)."""
        known = {**self._cells(), **cells}
        write_sealed(self._plan, {"schema": SCHEMA, "cells": known})

    def _cells(self) -> dict[str, str]:
        if not self._plan.exists():
            return {}
        cells: dict[str, str] = read_sealed(self._plan, "the plan of the runs", SCHEMA, PLAN_REMEDY, ["cells"])["cells"]
        return cells

    def missing(self) -> int:
        """Number of cells of the grid whose run is planned but not stored (yet)."""
        return sum(not self.folder(key).is_dir() for key in self._cells().values())

    def current_keys(self) -> list[str]:
        """Keys of the current runs that are stored: of two runs of one cell, only the last planned one."""
        if not self._runs.is_dir():
            return []
        stored = sorted(p.name for p in self._runs.iterdir() if p.is_dir() and not p.name.startswith("."))
        current = self._cells()
        cells = {key: digest(self._record(key)["cell"]) for key in stored}
        if not current and len(set(cells.values())) < len(stored):
            raise DataError("missing, and runs stand for one cell of the grid.", file=self._plan, hint=PLAN_REMEDY)
        return [key for key in stored if current.get(cells[key], key) == key]

    def superseded(self, planned: Mapping[str, str]) -> int:
        """Number of stored runs of a planned cell of the grid whose key is another: their code, settings or data were.

        Parameters
        ----------
        planned
            Run keys by digest of their cell.
        """
        if not self._runs.is_dir():
            return 0
        others = {p.name for p in self._runs.iterdir() if p.is_dir() and not p.name.startswith(".")} - {
            *planned.values()
        }
        return sum(digest(self._record(key)["cell"]) in planned for key in others)

    def rows(self) -> pd.DataFrame:
        """All rows of the current runs.

        Raises
        ------
        DataError
            If there is none, or a run cannot be read.
        """
        keys = self.current_keys()
        if not keys:
            raise DataError(
                "has no stored run.",
                file=self.root,
                hint="`mfbench run PRESET --out DIR` makes some; give that DIR.",
            )
        return with_costs(pd.concat([self.load(key).rows for key in keys], ignore_index=True))

    def detail(self, name: str) -> pd.DataFrame:
        """A detail of all current runs that have it, see :func:`mfbench.benchmarks.harness.details.read_detail`."""
        parts = []
        for key in self.current_keys():
            stored = self.load(key)
            sums = stored.record["details_sha256"]
            if name in sums:
                run = {column: stored.rows.at[0, column] for column in RUN_COLUMNS}
                table = self._table(key, name, sums[name])
                parts.append(pd.concat([pd.DataFrame([run] * len(table)), table], axis=1))
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else empty_detail(name)

    def details(self) -> list[str]:
        """Names of the details that any current run has."""
        found = {name for key in self.current_keys() for name in self._record(key)["details_sha256"]}
        return [name for name in detail_types() if name in found]


def with_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that were stored before trials were booked had none; steps that were not stored are not known."""
    known = {name: rows[name].fillna(0) if name in rows else 0 for name in ("trials", "trial_atom_gradients")}
    steps = rows.get("train_steps", math.nan)
    types = {"trials": int, "trial_atom_gradients": float, "train_steps": float}
    return rows.assign(**known, train_steps=steps).astype(types)


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the table of rows, columns and types fixed; `n_low` and `n_high` are text: they may be "all"."""
    table = pd.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], columns=list(COLUMNS))
    return table.astype({"n_low": str, "n_high": str, "value": float})
