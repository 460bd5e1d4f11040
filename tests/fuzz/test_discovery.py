"""Mutated prediction files: refused with the file's name, or read as the csv module, json or pandas read them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import math
import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mfbench.benchmarks.discovery.files import ID, read_predictions
from tests.fuzz import mutate
from tests.fuzz.watch import Watch

LONG = 600
MODEL = "e_form_per_atom_made"
KINDS = ("csv", "csv.gz", "csv.bz2", "csv.xz", "json", "json.gz", "parquet")
COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
EXPAND = {"gz": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress}
MISSING = {"", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>"}


def number(cell: object) -> float:
    return math.nan if cell is None or cell in MISSING else float(str(cell))


def independent(path: Path, content: bytes) -> dict[str, float]:
    """Predictions by id, read with other means."""
    if path.suffix in (".gz", ".bz2", ".xz"):
        content = EXPAND[path.suffix[1:]](content)
    if ".parquet" in path.suffixes:
        table = parquet.read_table(io.BytesIO(content))
        energies = table.column(column_of(table.column_names)).to_pylist()
        return dict(zip(map(str, table.column(ID).to_pylist()), map(number, energies), strict=True))
    text = content.decode("utf-8-sig")
    if ".json" in path.suffixes:
        found = json.loads(text)
        if isinstance(found, list):
            return {str(item[ID]): number(item.get(column_of(item))) for item in found}
        return dict(zip(map(str, found[ID].values()), map(number, found[column_of(found)].values()), strict=True))
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    header = rows[0]
    at, by = header.index(column_of(header)), header.index(ID)
    return {row[by]: number(row[at]) for row in rows[1:]}


def column_of(names: object) -> str:
    (name,) = [name for name in names if "e_form" in name]
    return name


def check(folder: Path, seed: int, watch: Watch) -> str:
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    path = folder / f"mine.{kind}"
    ids = [f"wbm-1-{i}" for i in range(30)]
    table = pd.DataFrame({ID: ids, MODEL: [round(chance.gauss(-1, 1), 4) for _ in ids]})
    table.loc[3, MODEL] = math.nan
    if kind == "parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer)
        content = mutate.data(buffer.getvalue(), chance)
    else:
        text = table.to_csv(index=False) if kind.startswith("csv") else table.to_json()
        if chance.random() < 0.7:
            junk = (*mutate.JUNK, ",", ";", "0,5", '"0,5"', "1e5", "\r")
            text = mutate.text(text.replace(",", " , "), chance, junk).replace(" , ", ",")
        content = text.encode()
        ending = kind.partition(".")[2]
        content = COMPRESS[ending](content) if ending else content
        if chance.random() < 0.4:
            content = mutate.data(content, chance)
    path.write_bytes(content)
    found = watch.run(lambda: read_predictions(path))
    if found is None:
        return "refused"
    theirs = independent(path, content)
    assert {str(key): str(float(value)) for key, value in found.items()} == {
        k: str(float(v)) for k, v in theirs.items()
    }
    return "accepted"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_mutated_predictions(tmp_path: Path, seed: int) -> None:
    check(tmp_path, seed, Watch())


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_mutated_predictions(tmp_path: Path) -> None:
    watch = Watch()
    ends = [check(tmp_path, seed, watch) for seed in range(LONG)]
    print(f"\ndiscovery files: {watch}")  # noqa: T201
    assert len(ends) >= 300
    assert 0.05 < ends.count("accepted") / len(ends) < 0.95
