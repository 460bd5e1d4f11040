"""Hashes that say what computed a result and from what."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

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


def frames_hash(frames: Iterable[Atoms]) -> str:
    """sha256 of geometries and everything in `info` and `arrays`, in order."""
    digest = hashlib.sha256()
    for atoms in frames:
        digest.update(np.asarray(atoms.cell.array).tobytes() + np.asarray(atoms.pbc).tobytes())
        for name in sorted(atoms.arrays):
            digest.update(name.encode() + np.ascontiguousarray(atoms.arrays[name]).tobytes())
        for key in sorted(atoms.info):
            value = atoms.info[key]
            content = np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            digest.update(key.encode() + content)
    return digest.hexdigest()


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of named tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
