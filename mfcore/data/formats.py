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
from mfbench.mfcore.errors import DataError

#: Formats of ASE by the ending of a file's name.
_BY_ASE = {".traj": "traj", ".db": "db"}
_PER_ATOM = ("forces", "stresses", "energies", "magmoms", "charges")
_EXPECTED = "Expected extended XYZ (gzipped or not), .traj, .db, or JSON of ASE, pymatgen or MatPES."

_JSON_LAYOUTS = (
    'Expected a database of ASE (ase.io.write("FILE.json", frames)), or what pymatgen\'s as_dict() gives, one or a '
    "list: structures or molecules with energy, forces and stress among their `properties`, or computed structure "
    "entries with their `energy`, and forces and stress among their `data`; extended XYZ always does."
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
    elif path.name.lower().endswith((".json", ".json.gz", ".jsonl", ".jsonl.gz")):
        frames = list(_of_json(path))
    else:
        frames = [parse_frame(text, path, index) for index, text in enumerate(frame_texts(path))]
    if not frames:
        raise DataError("the file has no frame; expected extended XYZ.", file=path)
    return frames


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
    """JSON of ASE (a database as text), pymatgen (structures, molecules, computed entries; one or a list) or MatPES.

    Gzipped or not; also one item a line.
    """
    text = read_text(path)
    try:
        if ".jsonl" in path.name.lower():
            content: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"no JSON ({str(error)[:120]}).", file=path, hint=_EXPECTED) from None
    if isinstance(content, dict) and ("ids" in content or "1" in content):
        yield from _by_ase(path, "json")
        return
    items = content if isinstance(content, list) else [content]
    if isinstance(content, dict) and content and all(is_document(item) for item in content.values()):
        items = list(content.values())
    if items and all(is_document(item) for item in items):
        for index, item in enumerate(items):
            yield frame_of_document(item, path, index)
        return
    if not any(isinstance(item, dict) and "@class" in item for item in items):
        raise DataError("neither a database of ASE nor structures of pymatgen.", file=path, hint=_JSON_LAYOUTS)
    for index, item in enumerate(items):
        yield atoms_of_pymatgen(item, path, index)


def atoms_of_pymatgen(item: Any, path: Path, index: int) -> Atoms:
    """Atoms of `as_dict` of a structure, molecule or computed structure entry; labels in `info` and `arrays`.

    Parameters
    ----------
    path, index
        Of the file and of the item in it, for messages.

    Raises
    ------
    DataError
        If it is no such thing.
    """
    from pymatgen.core.structure import Molecule, Structure
    from pymatgen.io.ase import AseAtomsAdaptor

    try:
        entry = item if "structure" in item else {"structure": item}
        structure = entry["structure"]
        kind = Molecule if structure.get("@class") in ("Molecule", "IMolecule") else Structure
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = AseAtomsAdaptor.get_atoms(kind.from_dict(structure), msonable=False)
        made = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        for key, values in kind.from_dict(structure).site_properties.items():
            if key in ("forces", "force"):
                made.arrays[key] = np.array(values, dtype=np.float64)
        given = {**structure.get("properties", {}), **(entry.get("data") or {})}
        made.info.update(
            {k: v for k, v in given.items() if isinstance(v, (str, int, float)) or k in ("stress", "virial")}
        )
        for key in ("forces", "force"):
            if key in given:
                made.arrays[key] = np.array(given[key], dtype=np.float64)
        if entry.get("energy") is not None:
            made.info["energy"] = entry["energy"]
        if entry.get("entry_id"):
            made.info.setdefault("structure_id", str(entry["entry_id"]))
    except Exception as error:  # of whatever pymatgen's constructors meet: all of it means "malformed"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"no structure of pymatgen ({reason[:160]}).", file=path, frame=index, hint=_EXPECTED) from None
    return made
