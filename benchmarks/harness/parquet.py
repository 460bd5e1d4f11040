"""Parquet files with the sha256 of all their other bytes: the format itself sums only what it is asked to."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

KEY = b"mfbench_sha256"
_BLANK = b"0" * 64


def sealed_parquet(table: pd.DataFrame) -> bytes:
    """Content of a Parquet file; its sum is that of the same bytes with zeros in its place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made, buffer = pa.Table.from_pandas(table, preserve_index=False), io.BytesIO()
    with pq.ParquetWriter(buffer, made.schema, compression="zstd") as writer:
        writer.write_table(made)
        writer.add_key_value_metadata({KEY: _BLANK})
    before, _, after = buffer.getvalue().rpartition(_BLANK)
    return before + hashlib.sha256(buffer.getvalue()).hexdigest().encode() + after


def read_parquet(path: Path, hint: str) -> pd.DataFrame:
    """Read a Parquet file, and check its sum if it has one: those of older versions have none.

    Raises
    ------
    DataError
        If it was changed since it was written.
    OSError, ValueError
        If it is no Parquet file.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    content = path.read_bytes()
    given = (pq.read_metadata(io.BytesIO(content)).metadata or {}).get(KEY)
    if given is not None:
        before, _, after = content.rpartition(given)
        if hashlib.sha256(before + _BLANK + after).hexdigest().encode() != given:
            raise DataError("changed since it was written: its sha256 differs.", file=path, hint=hint)
    return pd.read_parquet(io.BytesIO(content))
