"""Frames: structures with labels of one or more fidelities, as `ase.Atoms`, in extended XYZ files.

Labels live under keys named by their fidelity: `info["<fidelity>_energy"]` in eV,
`arrays["<fidelity>_forces"]` (n, 3) in eV/Å and `info["<fidelity>_stress"]` (3, 3) in eV/Å³ with ASE's sign. A
missing label is absent (or NaN). Every frame has `info["structure_id"]`, unique in its file, and
`info["group"]`: frames of one group are never split over training, validation and test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write
from numpy.typing import NDArray

from mfbench.mfcore.data.label_keys import is_other_energy
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import replacing

FloatArray = NDArray[np.float64]

#: Fidelity that plain keys belong to when the reader was told no name.
UNNAMED_FIDELITY = "reference"

_SUFFIX = {Label.ENERGY: "_energy", Label.FORCES: "_forces", Label.STRESS: "_stress"}


def key_of(fidelity: str, label: Label) -> str:
    """Return the name of the info or arrays key that holds a label, such as "ccsdt_forces"."""
    return fidelity + _SUFFIX[label]


# --- labels of one frame ------------------------------------------------------------------------------------


def energy_of(atoms: Atoms, fidelity: str) -> float:
    """Return the energy in eV; NaN if the frame has none of this fidelity."""
    return float(atoms.info.get(key_of(fidelity, Label.ENERGY), np.nan))


def forces_of(atoms: Atoms, fidelity: str) -> FloatArray:
    """Return forces (n, 3) in eV/Å; filled with NaN if the frame has none of this fidelity."""
    forces = atoms.arrays.get(key_of(fidelity, Label.FORCES))
    return np.full((len(atoms), 3), np.nan) if forces is None else np.asarray(forces, dtype=np.float64)


def stress_of(atoms: Atoms, fidelity: str) -> FloatArray:
    """Return stress (3, 3) in eV/Å³, ASE's sign; filled with NaN if the frame has none of this fidelity."""
    stress = atoms.info.get(key_of(fidelity, Label.STRESS))
    if stress is None:
        return np.full((3, 3), np.nan)
    values = np.asarray(stress, dtype=np.float64)
    return full_stress(values)


def has_label(atoms: Atoms, fidelity: str, label: Label) -> bool:
    """Say whether the frame carries this label of this fidelity, with no NaN in it."""
    if label is Label.ENERGY:
        return bool(np.isfinite(energy_of(atoms, fidelity)))
    values = forces_of(atoms, fidelity) if label is Label.FORCES else stress_of(atoms, fidelity)
    return bool(np.isfinite(values).all())


def set_labels(
    atoms: Atoms,
    fidelity: str,
    energy: float | None = None,
    forces: Any = None,
    stress: Any = None,
) -> None:
    """Put labels on a frame, in place; what is None stays as it was.

    Parameters
    ----------
    energy
        eV.
    forces
        (n, 3) in eV/Å.
    stress
        (3, 3) or Voigt (6,) in eV/Å³, ASE's sign.

    Raises
    ------
    DataError
        If forces or stress have another shape.
    """
    if energy is not None:
        atoms.info[key_of(fidelity, Label.ENERGY)] = float(energy)
    if forces is not None:
        key = key_of(fidelity, Label.FORCES)
        atoms.arrays[key] = _shaped(forces, (len(atoms), 3), key)
    if stress is not None:
        key = key_of(fidelity, Label.STRESS)
        atoms.info[key] = _shaped(full_stress(np.asarray(stress, dtype=np.float64)), (3, 3), key)


def drop_labels(atoms: Atoms, fidelity: str) -> None:
    """Take every label of a fidelity off a frame, in place."""
    for store in (atoms.info, atoms.arrays):
        for label in Label:
            store.pop(key_of(fidelity, label), None)


def rename_fidelity(atoms: Atoms, old: str, new: str) -> None:
    """Give the labels of fidelity `old` the name `new`, in place."""
    for store in (atoms.info, atoms.arrays):
        for label in Label:
            if key_of(old, label) in store:
                store[key_of(new, label)] = store.pop(key_of(old, label))


def fidelities_in(frames: Iterable[Atoms]) -> list[str]:
    """Return names of the fidelities that at least one frame has a label of, in order of first appearance."""
    found: dict[str, None] = {}
    for atoms in frames:
        for name in prefixes(atoms):
            if name not in found and any(has_label(atoms, name, label) for label in Label):
                found[name] = None
    return list(found)


def _shaped(values: Any, shape: tuple[int, ...], key: str) -> FloatArray:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise DataError(f"shape {array.shape}, expected {shape}.", key=key)
    return array


def full_stress(values: FloatArray) -> FloatArray:
    """Voigt (6,), xx yy zz yz xz xy, or flat (9,) stress to (3, 3); another shape is left for the caller to refuse."""
    if values.size == 6:
        return values.ravel()[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return values.reshape(3, 3) if values.size == 9 else values


def prefixes(atoms: Atoms) -> list[str]:
    """Return possible fidelity names in a frame's keys, in the order of the keys."""
    names: dict[str, None] = {}
    for store, labels in ((atoms.info, (Label.ENERGY, Label.STRESS)), (atoms.arrays, (Label.FORCES,))):
        for key in store:
            for label in labels:
                name = key.removesuffix(_SUFFIX[label]) if isinstance(key, str) else ""
                if name and name != key and not (label is Label.ENERGY and is_other_energy(name)):
                    names[name] = None
    return list(names)


# --- files --------------------------------------------------------------------------------------------------


def _plain(key: str, value: Any) -> Any:
    """Return a matrix (3, 3) as nine numbers, which every reader of extended XYZ takes; anything else as it is."""
    if key in ("stress", "virial") and np.size(value) == 6:  # ase reads nine numbers only under these keys
        value = full_stress(np.asarray(value))
    return value.reshape(9) if isinstance(value, np.ndarray) and value.shape == (3, 3) else value


def write_frames(path: str | Path, frames: Sequence[Atoms]) -> None:
    """Write frames as extended XYZ: into a temporary file beside `path`, then renamed.

    Positions and forces get 8 decimals; calculators attached to the frames are not written.

    Raises
    ------
    DataError
        If there is no frame to write.
    """
    path = Path(path)
    if not frames:
        raise DataError("there is no frame to write.", file=path)
    plain = []
    for atoms in frames:
        copy = atoms.copy()
        copy.info = {key: _plain(key, value) for key, value in copy.info.items() if value is not None}
        plain.append(copy)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        write(stream, plain, format="extxyz")
