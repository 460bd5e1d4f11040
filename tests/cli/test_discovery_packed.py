"""Packed files of materials: what is damaged, or holds more than is read, is refused in a sentence."""

from __future__ import annotations

import bz2
import gzip
import json
import zipfile
from pathlib import Path

import pytest

from mfbench.benchmarks.discovery import materials, packed
from mfbench.benchmarks.discovery.materials import read_materials
from mfbench.mfcore.data import extxyz
from mfbench.mfcore.errors import DataError


@pytest.mark.parametrize(("name", "pack"), [("a.json.gz", gzip.compress), ("a.json.bz2", bz2.compress)])
def test_damage_anywhere_is_refused(tmp_path: Path, name: str, pack) -> None:
    path, content = tmp_path / name, pack(json.dumps(list(range(300))).encode())
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with pytest.raises(DataError):
            read_materials(path)
    path.write_bytes(content[:-5])
    with pytest.raises(DataError, match="the packed file is damaged"):
        read_materials(path)


def test_no_more_comes_out_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materials, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(extxyz, "_MOST_BYTES", 1000)
    for name, pack in (("a.json.gz", gzip.compress), ("a.json.bz2", bz2.compress)):
        (tmp_path / name).write_bytes(pack(bytes(10**6)))
        with pytest.raises(DataError, match="unpacks to more than"):
            read_materials(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xyz", bytes(10**6))
    with pytest.raises(DataError, match=r"holds 1,000,000 bytes, and at most 1,000 are read"):
        read_materials(tmp_path / "a.zip")


def test_a_reason_is_one_short_line() -> None:
    assert packed.reason_of(ValueError("a\nb")) == "a b"
    assert len(packed.reason_of(ValueError("x" * 500))) == 160
    assert packed.reason_of(EOFError()) == "EOFError"
