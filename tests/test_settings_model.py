"""The base of all settings: what it refuses, and its sentences."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from mfbench.mfcore.settings_model import SettingsModel, faults, odd_key, shortened


class Inner(SettingsModel):
    flag: bool = False
    size: Annotated[int, Field(ge=1)] = 1


class Outer(SettingsModel):
    rate: float = 1.0
    counts: list[int] | Literal["all"] = "all"
    inner: Inner = Inner()
    named: dict[str, float] = Field(default_factory=dict)
    free: dict[str, Any] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"rate": True}, "rate: expected no truth value (true, yes, on, …) (found True)"),
        ({"counts": [1, False]}, "counts: expected no truth value"),
        ({"named": {"a": True}}, "named: expected no truth value"),
        ({"inner": {"size": True}}, "inner.size: expected no truth value"),
        ({"rate": float("nan")}, "rate: Input should be a finite number (found nan)"),
        ({"named": {"a": float("inf")}}, "named.a: Input should be a finite number (found inf)"),
        ({"inner": {"size": 0}}, "inner.size: Input should be greater than or equal to 1 (found 0)"),
        ({"rat": 1}, "rat: unknown key"),
    ],
)
def test_faults_name_key_and_value(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(content)
    assert sentence in faults(caught.value)


def test_truth_values_stand_where_they_are_meant() -> None:
    found = Outer.model_validate({"inner": {"flag": True}, "free": {"a": True}, "counts": [3]})
    assert (found.inner.flag, found.free["a"], found.counts) == (True, True, [3])


def test_keys_that_are_no_words_are_found() -> None:
    assert odd_key({"a": {"b": [{"c": 1}, {2: 3}]}}) == "a.b.2"
    assert odd_key({"a": {"b": [1, {"c": None}]}}) == ""
    assert odd_key({None: 1}) == "None"


def test_long_values_and_many_faults_are_shortened() -> None:
    assert len(shortened("x" * 10**6)) <= 60
    assert len(shortened([["y" * 1000] * 1000] * 1000)) < 2000
    assert "\n" not in shortened("a\nb\x1b[31m")
    assert "\x1b" not in shortened("a\nb\x1b[31m")
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({f"key{i}": 1 for i in range(30)})
    assert faults(caught.value).endswith("and 22 further faults")
