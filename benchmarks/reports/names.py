"""Names in tables that reports read: in one line, whatever the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.columns import change_texts
from mfbench.mfcore.text import one_line

if TYPE_CHECKING:
    from pandas import DataFrame


def in_one_line(table: DataFrame) -> DataFrame:
    """Write line breaks and other signs that are not printable as escapes, in all columns of text.

    The table is given back as it is where there are none.
    """
    return change_texts(table, one_line)
