"""A record in JSON is what was written, or refused by the name of its file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.sealed import read_sealed, sealed, without_nan, write_sealed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORD = {"schema": 3, "name": "a", "values": [1.5, -0.25, 1e-300], "inner": {"n": 12, "none": None}}


def read(path: Path) -> dict[str, object]:
    return read_sealed(path, "the record", 3, "Remove it.", keys=["name"])


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text().filter(lambda key: key not in ("sha256", "schema", "name")), VALUES))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, more: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("sealed") / "a.json"
    write_sealed(path, RECORD | more)
    assert read(path) == RECORD | more


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_was_changed_is_refused_or_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.json"
    content = sealed(RECORD).encode()
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(max_size=3))
    path.write_bytes(content[:at] + new + content[at + data.draw(st.integers(0, 3)) :])
    try:
        assert read(path) == RECORD
    except DataError as error:
        refusal = str(error)
        assert refusal.startswith(f"file {path}")


@pytest.mark.parametrize("key", ["schema", "name", "sha256"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = json.loads(sealed(RECORD))
    del content[key]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"key '{key}'"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff\xfe", b"null", b"[]", b'{"schema": true}', b"9" * 10_000])
def test_no_record_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(DataError, match="the record"):
        read(tmp_path / "a.json")


def test_what_is_no_number_is_null() -> None:
    assert without_nan({"a": [float("nan"), 1.0], 2: (float("inf"),)}) == {"a": [None, 1.0], "2": [None]}
