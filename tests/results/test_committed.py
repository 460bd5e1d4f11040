"""Committed tables are what the committed rows give."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfbench.benchmarks.harness.rows_file import read_rows
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.results import Results

RESULTS = Path(__file__).parents[2] / "results"
FILES = sorted([*RESULTS.glob("*/rows.csv.gz"), *RESULTS.glob("peers/*/rows.csv.gz")])


def test_there_are_committed_rows() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.parent.name)
def test_tables_equal_what_the_rows_give(path: Path) -> None:
    made = report(Results(read_rows(path), Details(path)), "md")
    assert (path.parent / "tables.md").read_text(encoding="utf-8").strip() == made.strip()
