"""Structures of pymatgen as frames and back: objects, and the dictionaries that its `as_dict` writes as JSON.

An energy of a computed entry is the one that was computed (eV, total), without the corrections of the entry: those of
the Materials Project are functions of the composition, and no labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.mfcore.errors import DataError

ID_KEYS = ("material_id", "mp_id", "mat_id", "structure_id", "entry_id")
"""Keys that name the structure of a record, the first that it has."""

STRUCTURE_KEYS = ("initial_structure", "structure", "init_struct")
"""Keys of a record that has a structure among other things."""

EXPECTED = (
    "Expected what pymatgen's as_dict() gives, one or a list: structures, molecules or computed structure entries; or "
    f"records with an id ({ID_KEYS[0]}) and a structure ({STRUCTURE_KEYS[1]})."
)
_LARGEST_NUMBER = 118
_MATRICES = ("stress", "virial")
_FORCES = ("forces", "force")

Frame = Any
"""`ase.Atoms`, or a structure, a molecule or a computed structure entry of pymatgen."""


def as_frames(frames: Frame | Iterable[Frame], file: str | Path | None = None) -> list[Atoms]:
    """Give frames, one or several, as a list of atoms; atoms stay the same objects.

    Parameters
    ----------
    frames
        Atoms, or structures, molecules or computed structure entries of pymatgen, mixed as you like.
    file
        Where they are from, for messages.

    Raises
    ------
    DataError
        If one is something else, is disordered, or has a species that is no element.
    """
    if isinstance(frames, Atoms):
        return [frames]
    if _is_pymatgen(frames):
        return [atoms_of(frames, file, 0)]
    if isinstance(frames, str | bytes | Mapping) or not isinstance(frames, Iterable):
        raise DataError(f"found {type(frames).__name__}; {_WANTED}.", file=file)
    return [a if isinstance(a, Atoms) else atoms_of(a, file, index) for index, a in enumerate(frames)]


_WANTED = "expected ase.Atoms, or a Structure, Molecule or ComputedStructureEntry of pymatgen"


def _is_pymatgen(item: Any) -> bool:
    """Say whether something is a structure or an entry of pymatgen, without importing it."""
    return hasattr(getattr(item, "structure", item), "sites")


def atoms_of(item: Any, file: str | Path | None = None, index: int | None = None) -> Atoms:
    """Atoms of a structure, a molecule or a computed structure entry of pymatgen, with its labels.

    Returns
    -------
    Atoms
        With `energy` (eV; the uncorrected one of an entry), `forces` (eV/Å), `stress` (eV/Å³) and other numbers and
        words among the `properties` of a structure or the `data` of an entry under the names that they have there, and
        the entry's id as `structure_id`.

    Raises
    ------
    DataError
        If it is something else, is disordered, or has a species that is no element.
    """
    if not _is_pymatgen(item):
        raise DataError(f"found {type(item).__name__}; {_WANTED}.", file=file, frame=index)
    structure = getattr(item, "structure", item)
    if not structure.is_ordered:
        site = next(str(site.species) for site in structure if not site.is_ordered)
        raise DataError(
            f"a site is {site[:60]}: the structure is disordered, and has no energy of its own.",
            file=file,
            frame=index,
            hint="Give ordered ones (pymatgen's OrderDisorderedStructureTransformation makes them).",
        )
    numbers = np.array([site.specie.Z for site in structure], dtype=object)
    for site, number in zip(structure, numbers, strict=True):
        if not 1 <= number <= _LARGEST_NUMBER:
            raise DataError(f"a site is {str(site.specie)[:60]}, which is no element.", file=file, frame=index)
    lattice = getattr(structure, "lattice", None)
    periodic = {} if lattice is None else {"cell": lattice.matrix, "pbc": lattice.pbc}
    atoms = Atoms(numbers.astype(int), positions=structure.cart_coords, **periodic)
    _take(atoms, structure.site_properties)
    _take(atoms, getattr(structure, "properties", None) or {})
    if item is not structure:
        _take(atoms, getattr(item, "data", None) or {})
        atoms.info["energy"] = float(item.uncorrected_energy)
        if item.entry_id is not None:
            atoms.info.setdefault("structure_id", str(item.entry_id))
    return atoms


def _take(atoms: Atoms, given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if key in _FORCES:
            atoms.arrays[key] = np.array(value, dtype=np.float64)
        elif key in _MATRICES or isinstance(value, str | int | float):
            atoms.info[key] = value


def structure_of(atoms: Atoms) -> Any:
    """Structure of pymatgen of periodic atoms, or Molecule of others; without labels.

    A direction that is not periodic stays so, as pymatgen's Lattice has it.
    """
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Molecule, Structure

    symbols = atoms.get_chemical_symbols()
    if not atoms.pbc.any():
        return Molecule(symbols, atoms.positions)
    a, b, c = (bool(periodic) for periodic in atoms.pbc)
    lattice = Lattice(atoms.cell.complete().array, pbc=(a, b, c))
    return Structure(lattice, symbols, atoms.positions, coords_are_cartesian=True)


def items_of(content: Any) -> list[Any]:
    """Items of JSON: of a list, of a mapping by name, of columns as pandas writes them, or the one that it is.

    Names of a mapping become ids of records that have none.
    """
    if isinstance(content, list):
        return content
    if not (isinstance(content, dict) and content and all(isinstance(value, dict) for value in content.values())):
        return [content]
    columns = [key for key in content if key in (*ID_KEYS, *STRUCTURE_KEYS)]
    if columns and not any(is_structure(content[key]) for key in columns):
        return [{key: column.get(row) for key, column in content.items()} for row in content[columns[0]]]
    if any(is_structure(value) or structure_in(value) for value in content.values()):
        return [_named(name, value) for name, value in content.items()]
    return [content]


def _named(name: str, item: dict[str, Any]) -> dict[str, Any]:
    if any(item.get(key) not in (None, "") for key in ID_KEYS):
        return item
    return {**item, ID_KEYS[0]: name} if structure_in(item) else {ID_KEYS[0]: name, "structure": item}


def is_structure(item: Any) -> bool:
    """Say whether an item of JSON is the dictionary of a structure or molecule."""
    return isinstance(item, dict) and isinstance(item.get("sites"), list)


def structure_in(item: Mapping[str, Any]) -> Any:
    """Return the dictionary of the structure that a record has; None if it has none."""
    return next((item[key] for key in STRUCTURE_KEYS if isinstance(item.get(key), dict)), None)


def frame_of_item(item: Any, path: Path, index: int) -> Atoms:
    """Atoms of an item of JSON: of a structure, molecule or computed entry, or of a record that has one.

    Parameters
    ----------
    path, index
        Of the file and of the item in it, for messages.

    Returns
    -------
    Atoms
        As :func:`atoms_of`; numbers and words of the record are taken, too, and its id as `structure_id`.

    Raises
    ------
    DataError
        If it is no such thing, is malformed or disordered.
    """
    if not isinstance(item, dict):
        raise DataError("expected a record with an id and a structure.", file=path, frame=index, hint=EXPECTED)
    record = {} if is_structure(item) else item
    structure = item if is_structure(item) else structure_in(item)
    if structure is None:
        raise DataError("it lacks a structure.", file=path, frame=index, hint=EXPECTED)
    from pymatgen.core.structure import Molecule, Structure

    kind = Molecule if structure.get("@class") in ("Molecule", "IMolecule") else Structure
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = kind.from_dict(structure)
        atoms = atoms_of(made, path, index)
        _take(atoms, {key: value for key, value in record.items() if not key.startswith("@")})
        _take(atoms, record.get("data") or {})
    except DataError:
        raise
    except Exception as error:  # of whatever pymatgen's constructors meet: all of it means "malformed"
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        reason = f"the key {reason} is missing" if isinstance(error, KeyError) else reason
        raise DataError(f"no structure of pymatgen ({reason}).", file=path, frame=index, hint=EXPECTED) from None
    identity = next((record[key] for key in ID_KEYS if record.get(key) not in (None, "")), None)
    if identity is not None:
        atoms.info["structure_id"] = str(identity)
    return atoms


def frames_of_json(content: Any, path: Path) -> Iterator[Atoms]:
    """Frames of all items, see :func:`items_of` and :func:`frame_of_item`."""
    for index, item in enumerate(items_of(content)):
        yield frame_of_item(item, path, index)


def entry_of(atoms: Atoms, energy_ev: float, identity: str, correction_ev: float = 0.0) -> Any:
    """Computed structure entry of pymatgen, of periodic atoms.

    Parameters
    ----------
    energy_ev
        Total, without correction.
    correction_ev
        In all; what the entry's `energy` has beside it.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    return ComputedStructureEntry(structure_of(atoms), energy_ev, correction=correction_ev, entry_id=identity)
