"""Hashes that say what computed a result and from what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from torch import Tensor


def canonical_hash(value: Any) -> str:
    """sha256 of a JSON value with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=8)
def source_hash(folder: Path) -> str:
    """sha256 over the Python sources below a folder, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


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
