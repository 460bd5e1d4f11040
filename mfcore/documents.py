"""YAML and JSON that people write or are sent: read strictly, so that nothing in them is taken for something else.

A file is UTF-8 text of limited size, nesting and number of values. A key stands once. Numbers are decimal: in YAML 1.1
`010` is 8 and `1:30` is 90, which nobody means; a date is text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mfbench.mfcore.errors import ConfigError

LARGEST_BYTES = 2**20
DEEPEST = 40
MOST_VALUES = 100_000
MOST_DIGITS = 20
"""Of a whole number: 64 bits have 19 or 20."""

Fail = Callable[[str], Exception]
"""Makes the error to raise from a problem in words."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):  # type: ignore[misc]
    """YAML's own types but dates, which are text."""


_Strict.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_ODD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|0[bxo].*|[0-9_]+(:[0-9_.]+)+)", re.IGNORECASE)


def _config_error(source: str) -> Fail:
    return lambda problem: ConfigError(f"{source}: {problem}")


def read_document(path: Path, *, largest: int = LARGEST_BYTES, fail: Fail | None = None) -> str:
    """The text of a file.

    Parameters
    ----------
    largest
        Number of bytes above which a file is refused unread.
    fail
        Makes the error; by default a ConfigError that names the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is too large, or is no UTF-8 text.
    """
    fail = fail or _config_error(str(path))
    try:
        with path.open("rb") as stream:
            content = stream.read(largest + 1)
    except OSError as error:
        raise fail(f"cannot be read ({error.strerror or type(error).__name__}).") from error
    if len(content) > largest:
        raise fail(f"the file has more than {largest:,} bytes; such files have a few thousand. Is it the right one?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fail(f"line {line} is no UTF-8 text (byte 0x{content[error.start]:02x}); save it as UTF-8.") from error


def parse_yaml(text: str, source: str) -> Any:
    """Parse a YAML document.

    Raises
    ------
    ConfigError
        Names the source, and the line where that is known: it is not valid YAML, a key stands twice in one mapping, the
        nesting or the number of values is out of bounds, or a number is not decimal.
    """
    fail = _config_error(source)
    try:
        _measure(text, fail)
        loader = _Strict(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, fail)
            content = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise fail(f"not valid YAML{line}: {_short(error.problem or error.context or 'malformed', 160)}.") from error
    except yaml.YAMLError as error:
        raise fail(f"not valid YAML: {_short(' '.join(str(error).split()), 160)}.") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        # constructors of explicit tags, as in `!!int abc`
        raise fail(f"not valid YAML: a value is not of the type that its tag says ({_short(error, 80)}).") from error
    _check_values(content, fail)
    return content


def read_yaml(path: Path, *, largest: int = LARGEST_BYTES) -> Any:
    """Read a YAML file; errors as in :func:`read_document` and :func:`parse_yaml`."""
    return parse_yaml(read_document(path, largest=largest), str(path))


def parse_json(text: str, fail: Fail, *, most: int = MOST_VALUES) -> Any:
    """Parse a JSON document.

    Parameters
    ----------
    most
        Number of values above which it is refused.
    fail
        Makes the error that is raised, from the problem in words: no JSON, a key that stands twice in one object, NaN
        or an infinity, a number beyond a double's range, or too deep nesting.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _Refused(f"key '{_short(twice)}' stands twice in one object; remove one of the two.")
        return found

    def number(digits: str) -> int:
        if len(digits.lstrip("-")) > MOST_DIGITS:
            raise _Refused(f"a number has {len(digits)} digits, more than {MOST_DIGITS}.")
        return int(digits)

    def constant(word: str) -> float:
        raise _Refused(f"a value is {word}; expected a finite number.")

    def real(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant(_short(digits))

    try:
        content = json.loads(text, object_pairs_hook=once, parse_int=number, parse_constant=constant, parse_float=real)
    except _Refused as refused:
        raise fail(str(refused)) from None
    except json.JSONDecodeError as error:
        raise fail(f"not valid JSON, line {error.lineno}: {_short(error.msg, 160)}.") from error
    except (ValueError, RecursionError) as error:
        raise fail(f"not valid JSON ({_short(error, 80)}).") from error
    _check_values(content, fail, most)
    return content


class _Refused(Exception):
    """A problem in words, out of the parser's hooks."""


def _measure(text: str, fail: Fail) -> None:
    """Refuse too deep nesting before anything recursive sees it."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if depth > DEEPEST:
            raise fail(f"line {event.start_mark.line + 1}: values are nested more than {DEEPEST} deep.")
        if values > MOST_VALUES:
            raise fail(f"there are more than {MOST_VALUES:,} values; is it the right file?")


def _check(root: yaml.Node, fail: Fail) -> None:
    """Refuse repeated keys and odd numbers, before merge keys are resolved."""
    seen, waiting = set[int](), [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        line = f"line {node.start_mark.line + 1}"
        if isinstance(node, yaml.MappingNode):
            lines = dict[str, int]()
            for key, value in node.value:
                number = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise fail(f"line {number}: a key is a list or a mapping; expected a word or a number.")
                if key.value in lines:
                    name = _short(key.value)
                    raise fail(f"line {number}: key '{name}' stands in line {lines[key.value]} already; remove one.")
                lines[key.value] = number
                waiting += [key, value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            if _ODD_NUMBER.fullmatch(node.value):
                raise fail(
                    f"{line}: {_short(node.value)} would be read as an octal, hexadecimal or base-60 number; write it "
                    "in decimal without leading zeros, or in quotes if it is a word."
                )
            if node.tag.endswith(":int") and len(node.value.lstrip("+-")) > MOST_DIGITS:
                raise fail(f"{line}: a number has {len(node.value)} digits, more than {MOST_DIGITS}.")


def _check_values(content: Any, fail: Fail, most: int = MOST_VALUES) -> None:
    """Refuse what aliases make too large, endless or too deep, and text that is none."""
    count = 0
    waiting: list[tuple[Any, int]] = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > DEEPEST:
            raise fail(f"values are nested more than {DEEPEST} deep.")
        if count > most:
            raise fail(f"there are more than {most:,} values, those of aliases counted each time.")
        if isinstance(value, Mapping):
            children: Iterable[Any] = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            children = value
        else:
            if isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
                raise fail(f"a text has half a character (a lone surrogate): {_short(value)!a}.")
            continue
        waiting += [(child, depth + 1) for child in children]


def _short(value: object, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"
