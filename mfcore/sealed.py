"""Records in JSON that carry the sha256 of what they say, so that a changed digit is found and not believed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import write_text
from mfbench.mfcore.provenance import digest

SEAL = "sha256"
EDITED = "edited"
"""The seal of a file that was changed by hand on purpose, in place of its sum."""


def sealed(content: Mapping[str, Any]) -> str:
    """The text of a record, with its sum under the key "sha256" at the end.

    Raises
    ------
    TypeError, ValueError
        If it has something that is no JSON value, NaN and infinities included.
    """
    return json.dumps({**content, SEAL: digest(content)}, indent=1, allow_nan=False) + "\n"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record whole; errors as in :func:`sealed` and :func:`mfbench.mfcore.files.replacing`."""
    write_text(path, sealed(content))


def read_sealed(path: Path, title: str, schema: int, remedy: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Read a record and check that it is the one that was written; the sum is left out.

    Parameters
    ----------
    title
        The record's noun, for messages.
    schema
        Its value of the key "schema".
    remedy
        The advice in messages.
    keys
        Keys that it must have.

    Raises
    ------
    DataError
        Names the file, and the key if one is at fault.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{title} cannot be read ({_reason(error)}).", file=path, hint=remedy) from error
    if not isinstance(record, dict):
        raise DataError(f"{title} is no mapping.", file=path, hint=remedy)
    found = record.get("schema")
    if found != schema or isinstance(found, bool):
        raise DataError(
            f"{title} has schema {found!r:.40}, this version of mfbench reads {schema}.",
            file=path,
            key="schema",
            hint=remedy,
        )
    for key in (*keys, SEAL):
        if key not in record:
            raise DataError(f"{title} lacks this key.", file=path, key=key, hint=remedy)
    check_seal(record, path, title, remedy)
    return {key: value for key, value in record.items() if key != SEAL}


def without_nan(value: Any) -> Any:
    """The same as JSON values: arrays are lists, and NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return without_nan(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def check_seal(record: Mapping[str, Any], path: Path, title: str, remedy: str) -> None:
    """Raise DataError if a record is not what was written."""
    try:
        right = record.get(SEAL) == digest({key: value for key, value in record.items() if key != SEAL})
    except (TypeError, ValueError, RecursionError):
        right = False
    if not right:
        raise DataError(f"{title} was changed since it was written: its sha256 differs.", file=path, hint=remedy)


def sealed_first(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file that people read and may edit: its sum stands first, where no cut takes it away alone."""
    return {SEAL: digest(content), **content}


def check_editable(content: Any, path: str | Path, title: str) -> dict[str, Any]:
    """The content that :func:`sealed_first` sealed, without its sum, unless it was changed unsaid.

    Who edits such a file on purpose says so by the word :data:`EDITED` in place of the sum.

    Raises
    ------
    DataError
        If it is no mapping, has no sum, or was changed since it was written.
    """
    advice = f"Take it from where it is whole, or, if the change is meant, write '{EDITED}' in place of the sum."
    if not isinstance(content, dict):
        raise DataError(f"{title} is no mapping.", file=path)
    if SEAL not in content:
        raise DataError(f"{title} lacks this key.", file=path, key=SEAL, hint=advice)
    rest = {key: value for key, value in content.items() if key != SEAL}
    if content[SEAL] != EDITED:
        try:
            right = content[SEAL] == digest(rest)
        except (TypeError, ValueError, RecursionError):
            right = False
        if not right:
            raise DataError(
                f"{title} was changed since it was written: its sha256 differs.", file=path, key=SEAL, hint=advice
            )
    return rest


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:200]
