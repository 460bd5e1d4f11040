"""Base of all settings that people write, and their faults as sentences."""

from __future__ import annotations

import reprlib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

_KINDS = {
    "model_type": "keys with values, such as `name: value`",
    "dict_type": "keys with values, such as `name: value`",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
}

LONGEST_KEY = 120
"""Characters of a dotted key in a message."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 4
_SHORT.maxlevel = 2


class SettingsModel(BaseModel):
    """Immutable settings: unknown keys, numbers that are not finite, and truth values for numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields.get(info.field_name or "")
        if field is not None and _has_bool(value) and not _admits_bool(field.annotation):
            raise ValueError("expected no truth value (true, yes, on, …)")
        return value


def _has_bool(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_bool, value.values()))
    return any(map(_has_bool, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


def _admits_bool(annotation: Any) -> bool:
    """Say whether some part of an annotation takes truth values; parts that are models look for themselves."""
    if annotation is Any or annotation is bool:
        return True
    origin = get_origin(annotation)
    if origin is Annotated:
        return _admits_bool(get_args(annotation)[0])
    if origin is not None:
        if origin in (Union, types.UnionType, list, tuple, dict):
            return any(map(_admits_bool, get_args(annotation)))
        return any(isinstance(part, bool) for part in get_args(annotation))  # Literal
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def odd_key(content: Any) -> str:
    """The dotted place of a key that is no text, in nested settings; "" if all are."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if not isinstance(key, str):
                return shortened(key)
            if inner := odd_key(value):
                return f"{key}.{inner}"
    return next(filter(None, map(odd_key, content)), "") if isinstance(content, list | tuple) else ""


def dotted(location: Iterable[int | str]) -> str:
    """The dotted key of a fault, without the member of a union that pydantic tried ("int", "literal['all']")."""
    names = ("int", "float", "str", "bool")
    kinds = ("constrained-", "literal[", "list[", "tuple[", "function-", "nullable")
    return ".".join(str(part) for part in location if part not in names and not str(part).startswith(kinds))


def faults(error: ValidationError, most: int = 8, model: type[BaseModel] | None = None) -> str:
    """Each faulty key, what it should be, and the value that was found, in one sentence.

    Parameters
    ----------
    most
        Number of faults that are named; further ones are counted.
    model
        That was validated; where it is given, the keys that there are beside an unknown one are named.
    """
    found = list(dict.fromkeys(_fault(fault, model) for fault in error.errors(include_url=False)))
    more = [f"and {len(found) - most} further faults"] if len(found) > most else []
    return "; ".join([*found[:most], *more])


def _fault(fault: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    key = dotted(fault["loc"])
    key = key if len(key) <= LONGEST_KEY else key[:LONGEST_KEY] + "…"
    problem = problem_of(fault)
    known = keys_beside(model, fault["loc"]) if model and fault["type"] == "extra_forbidden" else []
    if known:
        problem = f"{problem}; there are {', '.join(known)}"
    return f"{key}: {problem}" if key else problem


def problem_of(fault: Mapping[str, Any]) -> str:
    """The problem at the place of a fault, with the value that was found there."""
    if fault["type"] == "extra_forbidden":
        return "unknown key"
    if fault["type"] == "missing":
        return "this key is missing"
    if kind := _KINDS.get(fault["type"]):  # pydantic's own words name classes
        return f"expected {kind} (found {shortened(fault['input'])})"
    problem = str(fault["msg"]).removeprefix("Value error, ").removesuffix(".")
    if ": unknown key, " in problem:  # of settings within settings, which name the keys that they have
        return problem
    if not fault["loc"]:  # of keys that do not fit together, which the problem names
        return problem
    return f"{problem} (found {shortened(fault['input'])})"


def keys_beside(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The keys that a model, or the one within it that a fault is in, has at the place of a key."""
    for part in location[:-1]:
        if isinstance(part, int):  # a place in a list, whose items are the model
            continue
        field = model.model_fields.get(part)
        inner = None if field is None else _model_within(field.annotation)
        if inner is None:
            return []
        model = inner
    return [*model.model_fields]


def _model_within(annotation: Any) -> type[BaseModel] | None:
    """The one model that an annotation is, or is a list or an option of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    within = [model for part in get_args(annotation) if (model := _model_within(part)) is not None]
    return within[0] if len(within) == 1 else None


def shortened(value: Any) -> str:
    """A value as a message shows it, in one line of limited length."""
    return _SHORT.repr(value)
