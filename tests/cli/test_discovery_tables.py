"""Prediction files as `mfbench.benchmarks.discovery.tables` reads them: bounded, exact, and without a guess."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfbench.benchmarks.discovery import tables
from mfbench.benchmarks.discovery.files import ID, read_predictions
from mfbench.mfcore.errors import DataError
from tests.cli.test_score_discovery import MODEL, material


def test_what_decompresses_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LARGEST_BYTES", 3 * 2**20)
    monkeypatch.setattr(tables, "LARGEST_JSON_BYTES", 3 * 2**20)
    lines = f"{ID},{MODEL}\n".encode() + b"wbm-1-1,0.5\n" * 2**19
    writers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    for ending, compress in writers.items():
        for kind in ("csv", "json"):
            path = tmp_path / f"bomb.{kind}.{ending}"
            path.write_bytes(compress(lines))
            with pytest.raises(DataError, match=r"bomb\..*: it holds more than 3,145,728 bytes"):
                read_predictions(path)
    with zipfile.ZipFile(tmp_path / "bomb.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.csv", lines)
    with pytest.raises(DataError, match=r"it holds more than 3,145,728 bytes"):
        read_predictions(tmp_path / "bomb.csv.zip")
    line = tmp_path / "line.csv.gz"
    line.write_bytes(gzip.compress(f"{ID},{MODEL}\nwbm-1-1,".encode() + b"0" * 2**21))
    with pytest.raises(DataError, match=r"line\.csv\.gz: a line has more than 1,048,576 bytes"):
        read_predictions(line)
    monkeypatch.setattr(tables, "MOST_ROWS", 1000)
    monkeypatch.setattr(tables, "LARGEST_BYTES", 2**30)
    with pytest.raises(DataError, match="more than 1,000 rows"):
        read_predictions(tmp_path / "bomb.csv.zip")


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip"])
def test_damaged_archives_are_a_sentence_with_the_name(tmp_path: Path, ending: str) -> None:
    text = f"{ID},{MODEL}\n" + "".join(f"{material(i)},{i / 7}\n" for i in range(400))
    path = tmp_path / f"mine.csv.{ending}"
    writers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mine.csv", text)
    else:
        path.write_bytes(writers[ending](text.encode()))
    right, whole = read_predictions(path), path.read_bytes()
    assert len(right) == 400
    draw = np.random.default_rng(0)
    refused = damaged = 0
    for _ in range(60):
        content = bytearray(whole)
        content[draw.integers(len(content))] ^= 1 << draw.integers(8)
        path.write_bytes(content[: draw.integers(len(content))] if draw.random() < 0.3 else content)
        try:
            found = read_predictions(path)
        except DataError as error:
            refused += f"mine.csv.{ending}" in str(error) and len(str(error)) < 500
            damaged += 1
        else:  # in what says nothing of the content, such as a time
            pd.testing.assert_series_equal(found, right)
    assert refused == damaged > 30


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{ID},{MODEL}\nwbm-1-1,0,5\n", r"row 2 has 3 fields, the header has 2.*decimal comma"),
        (f'{ID},{MODEL}\nwbm-1-1,"0,5"\n', r"expected a number, found '0,5'\. Is it a decimal comma"),
        (f"{ID};{MODEL}\nwbm-1-1;0,5\n", "semicolons or tabs"),
        (f"{ID},{MODEL}\nwbm-1-1\n", "row 2 has 1 fields"),
        (f"{ID},{MODEL},{MODEL}\nwbm-1-1,1,2\n", "is there twice"),
        (f"{ID},{MODEL}\nwbm-1-1,1_000\n", "found '1_000'"),
        (f"{ID},{MODEL}\nwbm-1-1,{'x' * 10**5}\n", "expected a number, found 'xxx"),
        (f"{ID},{MODEL}\nwbm-1-1,0.5\xff\n", "cannot be read"),
        (f"{ID},{'e_form' * 10**5}\nwbm-1-1,0.5,1\n", "field larger than field limit"),
        (f"\xef\xbb\xbf{ID},{MODEL}\nwbm-1-1,x\n", "found 'x'"),  # after a byte-order mark
        ("", "there is no line"),
    ],
)
def test_odd_tables_are_refused_in_short_words(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=problem) as caught:
        read_predictions(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"e_form_a": {"wbm-1-1": 0.1, "wbm-1-1": 0.2}}', "stands twice"),
        ('{"e_form_a": {"wbm-1-1": true}}', "expected a number, found True"),
        ('{"e_form_a": {"wbm-1-1": [1]}}', "expected a number"),
        ('{"e_form_a": 3}', "expected columns of values"),
        ('{"e_form_a": [1, 2], "material_id": ["a"]}', "not of one length"),
        ("[" * 10_000, "cannot be read"),
        ("[" * 2_000_000, "more than 1,000,000 lists"),
        ('{"e_form_a": {"wbm-1-1": 1e400}, "e_form_b": {}}', "2 could be it"),
        ("3", "expected columns of values"),
    ],
)
def test_odd_json_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(DataError, match=problem):
        read_predictions(path)


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    values = [0.1, -1.2345678901234567, 5e-324, 1.7976931348623157e308, 2 / 3]
    table = pd.DataFrame({ID: [material(i) for i in range(5)], MODEL: values})
    table.to_csv(tmp_path / "mine.csv", index=False)
    (tmp_path / "mine.json").write_text(json.dumps({MODEL: dict(zip(table[ID], values, strict=True))}))
    for name in ("mine.csv", "mine.json"):
        assert list(read_predictions(tmp_path / name)) == values
