"""Materials whose stability is asked for: structures with ids, in the forms of Matbench Discovery and matcalc."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from mfbench.benchmarks.discovery.packed import DAMAGED, opened, reason_of
from mfbench.mfcore.data.formats import atoms_of_pymatgen
from mfbench.mfcore.data.read import read_structures
from mfbench.mfcore.data.validation import check_geometry
from mfbench.mfcore.errors import DataError

LARGEST_BYTES = 4 * 2**30
"""Decompressed, as much as a file of frames may have."""

ID_KEYS = ("material_id", "mp_id", "mat_id", "structure_id", "entry_id")
STRUCTURE_KEYS = ("initial_structure", "structure", "init_struct")
EXPECTED = (
    "Expected Matbench Discovery's initial structures (.jsonl.gz, .json.bz2, or a .zip of extended XYZ), a JSON list "
    "of records with `material_id` and `structure`, or frames that have `material_id`."
)


@dataclass(frozen=True)
class Material:
    """A structure to relax.

    Attributes
    ----------
    id
        Unique among those of a run.
    atoms
        The initial structure, without labels.
    """

    id: str
    atoms: Atoms


def read_materials(path: Path) -> list[Material]:
    """Read the materials of a file.

    Raises
    ------
    DataError
        Naming file and record: no such file, a format that is none of those expected, a record without id or
        structure, an id that comes twice, or a geometry that cannot be.
    """
    name = path.name.lower()
    if not path.is_file():
        raise DataError("there is no such file.", file=path, hint=EXPECTED)
    if name.endswith(".zip"):
        found = list(_of_zip(path))
    elif any(name.endswith(f"{kind}{packed}") for kind in (".json", ".jsonl") for packed in ("", ".gz", ".bz2")):
        found = list(_of_json(path))
    else:
        found = [_named(atoms, path, index) for index, atoms in enumerate(read_structures(path))]
    if not found:
        raise DataError("it has no structure.", file=path, hint=EXPECTED)
    seen: set[str] = set()
    for index, material in enumerate(found):
        if material.id in seen:
            raise DataError(f"the id '{material.id}' comes twice.", file=path, frame=index)
        seen.add(material.id)
        check_geometry(material.atoms, file=path, index=index)
    return found


def unpacked(path: Path) -> str:
    """Text of a file that may be packed by gzip or bzip2.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with opened(path, LARGEST_BYTES) as stream:
            return stream.read().decode("utf-8")
    except (ValueError, *DAMAGED) as error:
        raise DataError(f"it cannot be read ({reason_of(error)}).", file=path, hint=EXPECTED) from None


def _of_json(path: Path) -> Iterator[Material]:
    for index, record in enumerate(_records(unpacked(path), path)):
        identity = next((record[key] for key in ID_KEYS if record.get(key) not in (None, "")), None)
        structure = next((record[key] for key in STRUCTURE_KEYS if isinstance(record.get(key), dict)), None)
        if identity is None or structure is None:
            lacking = f"an id ({', '.join(ID_KEYS)})" if identity is None else "a structure"
            raise DataError(f"it lacks {lacking}.", file=path, frame=index, hint=EXPECTED)
        yield Material(str(identity), _bare(atoms_of_pymatgen(structure, path, index)))


def _records(text: str, path: Path) -> Iterator[dict[str, Any]]:
    """Records of a JSON list, of JSON lines, or of columns as pandas writes them."""
    try:
        content: Any = json.loads(text)
    except ValueError:
        try:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"no JSON ({str(error)[:120]}).", file=path, hint=EXPECTED) from None
    if isinstance(content, dict) and content and all(isinstance(column, dict) for column in content.values()):
        columns = {key for key in content if key in (*ID_KEYS, *STRUCTURE_KEYS)}
        rows = list(next((content[key] for key in columns), {}))
        content = [{key: content[key].get(row) for key in columns} for row in rows]
    for index, record in enumerate([content] if isinstance(content, dict) else content):
        if not isinstance(record, dict):
            raise DataError("expected a record with an id and a structure.", file=path, frame=index, hint=EXPECTED)
        yield record


def _of_zip(path: Path) -> Iterator[Material]:
    from ase.io import read

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())  # more than that does not come out of it
            if size > LARGEST_BYTES:
                raise DataError(
                    f"it holds {size:,} bytes, and at most {LARGEST_BYTES:,} are read; split it.", file=path
                )
            for name in (n for n in archive.namelist() if n.endswith((".extxyz", ".xyz"))):
                text = archive.read(name).decode("utf-8")
                atoms = read(io.StringIO(text), index=0, format="extxyz")
                assert isinstance(atoms, Atoms)
                identity = next((atoms.info[key] for key in ID_KEYS if key in atoms.info), Path(name).stem)
                yield Material(str(identity), _bare(atoms))
    except (ValueError, KeyError, IndexError, *DAMAGED) as error:
        raise DataError(f"it cannot be read ({reason_of(error)}).", file=path, hint=EXPECTED) from None


def _named(atoms: Atoms, path: Path, index: int) -> Material:
    identity = next((atoms.info[key] for key in ID_KEYS if key in atoms.info), None)
    if identity is None:
        raise DataError(f"it lacks an id ({', '.join(ID_KEYS)}).", file=path, frame=index, hint=EXPECTED)
    return Material(str(identity), _bare(atoms))


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
