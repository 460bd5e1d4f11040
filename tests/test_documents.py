"""YAML and JSON are read strictly: each trap of the formats is a sentence with the file's name."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfbench.mfcore.documents import MOST_VALUES, parse_json, parse_yaml, read_document, read_yaml
from mfbench.mfcore.errors import ConfigError, DataError

TRAPS = {
    "a: 1\nb: 2\na: 3": "line 3: key 'a' stands in line 1 already",
    "{a: 1, a: 2}": "line 1: key 'a' stands in line 1 already",
    "a: {5: 1, '5': 2}": "key '5' stands",
    "a: 010": "octal",
    "a: 1:30": "base-60",
    "a: 0x1F": "hexadecimal",
    "a: " + "9" * 5000: "5000 digits",
    "[" * 3000: "nest",  # newer PyYAML has a limit of its own
    "a: &a [*a]": "nested more than",
    "? [1, 2]\n: 3": "a key is a list",
    "a: !!python/object:os.system x": "not valid YAML, line 1",
    "a: !!int abc": "not valid YAML",
    "a: !!bool maybe": "not valid YAML",
    "a: [1, 2": "not valid YAML, line",
    "a: \x07": "not valid YAML",
    'a: "\\ud800"': "not valid YAML",
    "x0: &x0 [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 10)}]\n" for i in range(1, 9)): "aliases counted each time",
}


@pytest.mark.parametrize("text", TRAPS, ids=range(len(TRAPS)))
def test_traps_of_yaml(text: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yml: ") as caught:
        parse_yaml(text, "mine.yml")
    assert TRAPS[text] in str(caught.value)
    assert len(str(caught.value)) < 400


def test_plain_yaml_is_what_it_says() -> None:
    text = "base: &b {x: 1, y: [a, 0.5]}\nover: {<<: *b, x: 2}\nday: 2026-11-30\nnone: ~\nyes: on\nlarge: 1e5\n"
    found = parse_yaml(text, "mine.yml")
    assert found["over"] == {"x": 2, "y": ["a", 0.5]}
    assert found["day"] == "2026-11-30"
    assert found[True] is True
    assert parse_yaml("", "mine.yml") is None


keys = st.text("abcxyz_", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | keys,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_what_was_written_is_read(content: object) -> None:
    assert parse_yaml(yaml.safe_dump(content), "mine.yml") == content
    assert parse_json(json.dumps(content), DataError) == content


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 2}', "key 'a' stands twice"),
        ('{"a": NaN}', "a value is NaN"),
        ('{"a": -Infinity}', "a value is -Infinity"),
        ('{"a": 1e999}', "a value is 1e999"),
        (f'{{"a": {"9" * 5000}}}', "5000 digits"),
        ("[" * 100_000, "not valid JSON"),
        ("[" * 60 + "]" * 60, "nested more than"),
        ('{"a": "\\ud800"}', "half a character"),
        ("{]", "not valid JSON, line 1"),
        (json.dumps([0] * (MOST_VALUES + 1)), "more than"),
    ],
)
def test_traps_of_json(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=r"file mine\.json: ") as caught:
        parse_json(text, lambda words: DataError(words, file="mine.json"))
    assert problem in str(caught.value)
    assert math.isclose(parse_json("1.5", DataError), 1.5)


def test_files_are_text_of_limited_size(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"mine\.yml: line 2 is no UTF-8 text \(byte 0xff\)"):
        read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")  # a byte-order mark
    assert read_yaml(path) == {"a": 1}
    path.write_bytes(b"#" * 101)
    with pytest.raises(ConfigError, match="more than 100 bytes"):
        read_document(path, largest=100)
    for missing in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_yaml(missing)
