"""Files of frames in the formats that people have, as `ase.Atoms` with every label in `info` and `arrays`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.mfcore.data.extxyz import frame_texts, parse_frame, read_text
from mfbench.mfcore.data.matpes import frame_of_document, is_document
from mfbench.mfcore.data.structures import frames_of_json
from mfbench.mfcore.errors import DataError

#: Formats of ASE by the ending of a file's name.
_BY_ASE = {".traj": "traj", ".db": "db"}
_PER_ATOM = ("forces", "stresses", "energies", "magmoms", "charges")
_EXPECTED = (
    "Expected extended XYZ (gzipped or not), .traj, .db, or JSON: a database of ASE, documents of MatPES, or what "
    "pymatgen's as_dict() gives, one or a list."
)


def raw_frames(path: Path) -> list[Atoms]:
    """Read the frames of a file with their keys as they are.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged, of no known format, or none that can be read twice (a pipe).
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(
            "it is a pipe or a device; expected a file.", file=path, hint="Write the frames to a file first."
        )
    ending = path.suffix.lower()
    if ending in _BY_ASE and path.is_file():
        frames = _by_ase(path, _BY_ASE[ending])
    elif is_json(path):
        frames = list(_of_json(path))
    else:
        frames = [parse_frame(text, path, index) for index, text in enumerate(frame_texts(path))]
    if not frames:
        raise DataError("the file has no frame.", file=path, hint=_EXPECTED)
    return frames


def is_json(path: Path) -> bool:
    """Say whether a file is JSON by its name: .json or .jsonl, and .gz or .bz2 behind it."""
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(".bz2").endswith((".json", ".jsonl"))


def _by_ase(path: Path, format: str) -> list[Atoms]:
    from ase.io import read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: Any = read(path, ":", format=format)
    except Exception as error:  # ASE raises whatever its steps do: all of it means "damaged"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"ASE cannot read it as {format} ({reason[:160]}).", file=path, hint=_EXPECTED) from None
    return [_uncalculated(atoms) for atoms in content]


def _uncalculated(atoms: Atoms) -> Atoms:
    """Move what a calculator holds to info and arrays, and the pairs of a row of a database to info."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    constrained = bool(atoms.constraints)
    atoms.calc = None
    if constrained:
        atoms.set_constraint()  # forces are read as they were calculated
    for key, value in results.items():
        if value is None:
            continue
        store: dict[str, Any] = atoms.arrays if key in _PER_ATOM else atoms.info
        store.setdefault(key, np.asarray(value) if key in _PER_ATOM else value)
    for key, value in dict(atoms.info.pop("key_value_pairs", {})).items():
        atoms.info.setdefault(key, value)
    atoms.info.pop("data", None)
    atoms.info.pop("unique_id", None)
    return atoms


def _of_json(path: Path) -> Iterator[Atoms]:
    """JSON of ASE (a database as text), MatPES, or pymatgen (:mod:`mfbench.mfcore.data.structures`).

    Packed or not; also one item a line.
    """
    content = json_of(path)
    if isinstance(content, dict) and ("ids" in content or "1" in content) and "sites" not in content:
        yield from _by_ase(path, "json")
        return
    items = content if isinstance(content, list) else [content]
    if isinstance(content, dict) and content and all(is_document(item) for item in content.values()):
        items = list(content.values())
    if items and all(is_document(item) for item in items):
        for index, item in enumerate(items):
            yield frame_of_document(item, path, index)
        return
    yield from frames_of_json(content, path)


def json_of(path: Path) -> Any:
    """Content of a JSON file, packed or not; of one item a line (.jsonl, or where it is nothing else), their list.

    Raises
    ------
    DataError
        If it is missing, damaged, or no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise DataError(f"no JSON ({str(error)[:120]}).", file=path, hint=_EXPECTED) from None
