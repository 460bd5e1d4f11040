"""Materials whose stability is asked for: structures with ids, in the forms of Matbench Discovery and matcalc."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mfbench.benchmarks.discovery.packed import DAMAGED, reason_of
from mfbench.mfcore.data.formats import is_json, json_of
from mfbench.mfcore.data.read import read_structures
from mfbench.mfcore.data.structures import ID_KEYS, frame_of_item, is_structure, items_of
from mfbench.mfcore.data.validation import check_geometry
from mfbench.mfcore.errors import DataError

LARGEST_BYTES = 4 * 2**30
"""Decompressed, as much as a file of frames may have."""

EXPECTED = (
    "Expected Matbench Discovery's initial structures (.jsonl.gz, .json.bz2, or a .zip of extended XYZ), JSON of "
    "pymatgen's structures or computed structure entries, records with `material_id` and `structure`, or frames that "
    "have `material_id`."
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
    elif is_json(path):
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


def _of_json(path: Path) -> Iterator[Material]:
    for index, item in enumerate(items_of(json_of(path))):
        atoms = frame_of_item(item, path, index)
        if is_structure(item):  # it has no place for an id
            atoms.info.setdefault("structure_id", f"{path.name.split('.')[0]}-{index}")
        yield _named(atoms, path, index)


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
