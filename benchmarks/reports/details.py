"""Details of the runs that a report is about, read when a table or figure asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.columns import empty_detail
from mfbench.benchmarks.harness.details import read_detail
from mfbench.benchmarks.reports.names import in_one_line

if TYPE_CHECKING:
    from pandas import DataFrame


class Details:
    """The named tables that runs store beside their rows (see :mod:`mfbench.benchmarks.harness.details`).

    Parameters
    ----------
    source
        Folder of runs or file of rows; None where only rows are known.
    tables
        Tables by name that are there already; they go before those of `source`.
    """

    def __init__(self, source: Path | None = None, tables: Mapping[str, DataFrame] | None = None) -> None:
        self._source = source
        self._tables = {name: in_one_line(table) for name, table in (tables or {}).items()}
        self._data: dict[str, dict[str, str]] = {}

    def table(self, name: str, rows: DataFrame | None = None) -> DataFrame:
        """Give a detail; empty, with its columns, where no run has it.

        Parameters
        ----------
        name
            Name of a detail that an observable declares.
        rows
            If given, only the lines of the runs in these rows.
        """
        if name not in self._tables:
            found = empty_detail(name) if self._source is None else read_detail(self._source, name)
            self._tables[name] = in_one_line(found)
        found = self._tables[name]
        return found if rows is None else found[found["run_key"].isin(set(rows["run_key"]))]

    def data_hashes(self, rows: DataFrame) -> dict[str, str]:
        """Give the sha256 of the data files that the runs of these rows read, by file; empty if it is not known."""
        if self._source is None or not self._source.is_dir():
            return {}
        from mfbench.benchmarks.harness.store import RunStore

        store = RunStore(self._source)
        hashes: dict[str, str] = {}
        for key in sorted({str(key) for key in rows["run_key"]}):
            if key not in self._data:
                found = store.load(key).record.get("identity", {}).get("data", {})
                self._data[key] = {str(file): str(value) for file, value in found.items()}
            hashes |= self._data[key]
        return hashes
