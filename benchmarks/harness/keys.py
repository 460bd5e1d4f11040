"""Run keys: a hash of all that decides a run's numbers. A finished run is known by it and never repeated."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCE_SUFFIXES = (".py", ".cpp", ".h", ".cu", ".yml")


def canonical_json(value: Any) -> str:
    """Write JSON in which equal values have equal text: sorted keys, tuples as lists.

    Raises
    ------
    TypeError, ValueError
        If `value` has something that is no JSON value, NaN and infinities included.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a run key cannot hold {value}")
    if hasattr(value, "item") and not isinstance(value, str | bytes):  # numpy scalars
        return value.item()
    return value


def digest(value: Any) -> str:
    """Return the sha256 (hex) of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def source_hash(paths: Iterable[Path]) -> str:
    """Hash the source files at or under `paths` by relative name and content, wherever they lie."""
    entries = []
    for path in paths:
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in SOURCE_SUFFIXES]
        for file in files:
            name = file.name if file == path else f"{path.name}/{file.relative_to(path).as_posix()}"
            entries.append([name, hashlib.sha256(file.read_bytes()).hexdigest()])
    return digest(sorted(entries))


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package '{package}' is not installed")
    return Path(spec.origin).parent


@cache
def code_hash(task_class: type, arm: Callable[..., Any]) -> str:
    """Hash of the code that computes a run: mfcore, strategies, the task, and an arm of another package.

    The harness and the reports are left out: they move numbers, they do not make them.
    """
    mfcore, strategies = _package_folder("mfcore"), _package_folder("strategies")
    task_file = Path(inspect.getfile(task_class))
    paths = {mfcore, strategies, task_file}
    tasks = _package_folder("benchmarks.tasks")
    if tasks in task_file.parents:
        paths.update(tasks.glob("*.py"))
        paths.update(task_file.parent.glob("*.py"))
    arm_file = Path(inspect.getfile(inspect.unwrap(arm)))
    if strategies not in arm_file.parents:
        paths.add(arm_file)
    return source_hash(paths)
