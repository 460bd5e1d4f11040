"""Frames: structures with labels of one or more fidelities, as `ase.Atoms`, in extended XYZ files.

Labels live under keys named by their fidelity: `info["<fidelity>_energy"]` in eV,
`arrays["<fidelity>_forces"]` (n, 3) in eV/Å and `info["<fidelity>_stress"]` (3, 3) in eV/Å³ with ASE's sign. A
missing label is absent (or NaN). Every frame has `info["structure_id"]`, unique in its file, and
`info["group"]`: frames of one group are never split over training, validation and test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write
from numpy.typing import NDArray

from mfbench.mfcore.data.extxyz import frame_texts, parse_frame
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import replacing

FloatArray = NDArray[np.float64]

#: Fidelity that plain keys belong to when the reader was told no name.
UNNAMED_FIDELITY = "reference"

#: Prefixes that say "this is the label" rather than name a level of theory.
PLAIN_PREFIXES = ("REF_", "")

#: Quantities that end like an energy label and are none.
NOT_LABELS = frozenset({"free", "kinetic", "potential", "total", "formation", "binding", "interaction", "REF"})

#: Keys that name the group of a frame, best first.
GROUP_KEYS = ("group", "group_id", "molecule", "trajectory")

_SUFFIX = {Label.ENERGY: "_energy", Label.FORCES: "_forces", Label.STRESS: "_stress"}
_ASYMMETRY_LIMIT = 1e-4  # eV/Å³; codes print stress to about this many digits


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
    return _full_stress(values)


def has_label(atoms: Atoms, fidelity: str, label: Label) -> bool:
    """Whether the frame carries this label of this fidelity, with no NaN in it."""
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
        atoms.info[key] = _shaped(_full_stress(np.asarray(stress, dtype=np.float64)), (3, 3), key)


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
        for name in _prefixes(atoms):
            if name not in found and any(has_label(atoms, name, label) for label in Label):
                found[name] = None
    return list(found)


def _shaped(values: Any, shape: tuple[int, ...], key: str) -> FloatArray:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise DataError(f"shape {array.shape}, expected {shape}.", key=key)
    return array


def _full_stress(values: FloatArray) -> FloatArray:
    """Voigt (6,) or flat (9,) stress to (3, 3); any other shape is left for the caller to refuse."""
    if values.size == 6:
        return values.ravel()[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return values.reshape(3, 3) if values.size == 9 else values


def _prefixes(atoms: Atoms) -> list[str]:
    """Possible fidelity names in a frame's keys, in the order of the keys."""
    names: dict[str, None] = {}
    for store, labels in ((atoms.info, (Label.ENERGY, Label.STRESS)), (atoms.arrays, (Label.FORCES,))):
        for key in store:
            for label in labels:
                name = key.removesuffix(_SUFFIX[label]) if isinstance(key, str) else ""
                if name and name != key and name not in NOT_LABELS:
                    names[name] = None
    return list(names)


# --- files --------------------------------------------------------------------------------------------------


def read_frames(path: str | Path, fidelity: str | None = None) -> list[Atoms]:
    """Read and validate the frames of an extended XYZ file.

    Labels may be under `<fidelity>_energy`, `<fidelity>_forces`, `<fidelity>_stress`. A file with no such
    keys may have plain ones instead: `REF_energy`, `REF_forces`, `REF_stress`, or `energy`, `forces`, `stress`
    (REF wins). They become labels of `fidelity`, or of `"reference"` if `fidelity` is None.

    A frame without `structure_id` is named `<file stem>-<index>`. Its group is the first of the keys `group`,
    `group_id`, `molecule`, `trajectory` that it has, or `config_type` if that takes at least three values in
    the file (fewer could not be split into training, validation and test), else the frame by itself.

    Parameters
    ----------
    path
        Extended XYZ; positions in Å, energies in eV, forces in eV/Å, stress in eV/Å³ (ASE's sign).
    fidelity
        A level that the file must have labels of; None takes whatever there is (also nothing).

    Raises
    ------
    DataError
        Naming file, frame and key: file missing, empty or malformed; unknown element; non-finite position;
        periodic along some axes only; periodic with a cell of no volume; infinite energy; NaN or infinity in
        some but not all components of a force or stress; stress without a cell; wrong shape; a
        `structure_id` that comes twice; no label of the requested fidelity.
    """
    path = Path(path)
    frames = [parse_frame(text, path, index) for index, text in enumerate(frame_texts(path))]
    if not frames:
        raise DataError("the file has no frame; expected extended XYZ.", file=path)
    _adopt_plain_keys(frames, fidelity, path)
    _name_frames(frames, path)
    for index, atoms in enumerate(frames):
        validate_frame(atoms, file=path, index=index)
    if fidelity is not None and fidelity not in fidelities_in(frames):
        raise DataError(
            "every label of this fidelity is NaN; expected at least one number.",
            file=path,
            key=key_of(fidelity, Label.ENERGY),
        )
    return frames


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
        copy.info = {key: value for key, value in copy.info.items() if value is not None}
        plain.append(copy)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        write(stream, plain, format="extxyz")


def validate_frame(atoms: Atoms, *, file: str | Path | None = None, index: int | None = None) -> None:
    """Check one frame and put its labels in canonical form (labels that are all NaN are removed), in place.

    Raises
    ------
    DataError
        See :func:`read_frames`.
    """

    def fault(problem: str, key: str | None = None, hint: str | None = None) -> DataError:
        return DataError(problem, file=file, frame=index, key=key, hint=hint)

    if len(atoms) == 0:
        raise fault("the frame has no atom.")
    if not np.isfinite(atoms.positions).all():
        raise fault("a position is not a finite number.", "pos")
    if (atoms.numbers < 1).any():
        raise fault("an element is unknown (symbol 'X' or atomic number 0).", "species")
    if not np.isfinite(np.asarray(atoms.cell)).all():
        raise fault("a component of the cell is not a finite number.", "Lattice")
    periodic = atoms.pbc.tolist()
    if any(periodic) and not all(periodic):
        raise fault(
            f"pbc is {periodic}: periodic along some axes only; expected all three or none.",
            "pbc",
            "Use pbc='T T T' with vacuum in the cell, or pbc='F F F'.",
        )
    if all(periodic) and abs(np.linalg.det(np.asarray(atoms.cell))) < 1e-6:
        raise fault("the frame is periodic and its cell has no volume.", "Lattice", "Give the cell, or pbc='F F F'.")
    for name in _prefixes(atoms):
        _validate_labels(atoms, name, fault)


def _validate_labels(atoms: Atoms, fidelity: str, fault: Callable[..., DataError]) -> None:
    shapes = {Label.ENERGY: (), Label.FORCES: (len(atoms), 3), Label.STRESS: (3, 3)}
    for label, shape in shapes.items():
        key = key_of(fidelity, label)
        store: dict[str, Any] = atoms.arrays if label is Label.FORCES else atoms.info
        if key not in store:
            continue
        try:
            values = np.asarray(store[key], dtype=np.float64)
        except (TypeError, ValueError):
            raise fault("expected numbers.", key) from None
        if label is Label.STRESS:
            values = _full_stress(values)
        if values.shape != shape:
            raise fault(f"shape {values.shape}, expected {shape}.", key)
        if np.isnan(values).all():
            del store[key]  # a missing label has one form from here on: absent
            continue
        if not np.isfinite(values).all():
            raise fault(
                f"{int((~np.isfinite(values)).sum())} of {values.size} numbers are NaN or infinite.",
                key,
                "Give the whole label, or none (absent, or NaN throughout).",
            )
        if label is Label.STRESS:
            if not all(atoms.pbc):
                raise fault("a stress on a frame that is not periodic.", key, "Drop it, or give pbc and cell.")
            if np.abs(values - values.T).max() > _ASYMMETRY_LIMIT:
                raise fault("the stress is not symmetric; expected (3, 3) or Voigt xx yy zz yz xz xy.", key)
        if label is Label.ENERGY:
            atoms.info[key] = float(values)
        else:
            store[key] = np.array(values)


def _adopt_plain_keys(frames: Sequence[Atoms], fidelity: str | None, path: Path) -> None:
    """Turn REF_energy, energy and the like into labels of a named fidelity if no prefixed labels exist."""
    prefixed = list(dict.fromkeys(name for atoms in frames for name in _prefixes(atoms)))
    if fidelity is not None and prefixed and fidelity not in prefixed:
        raise DataError(
            f"no such label in the file; it has the fidelities {', '.join(prefixed)}.",
            file=path,
            key=key_of(fidelity, Label.ENERGY),
            hint="Name one of them, or rename the keys.",
        )
    name = fidelity or UNNAMED_FIDELITY
    found = False
    for atoms in frames:
        for label in Label:
            store: dict[str, Any] = atoms.arrays if label is Label.FORCES else atoms.info
            values = [store.pop(f"{p}{_SUFFIX[label][1:]}", None) for p in PLAIN_PREFIXES]
            values = [v for v in values if v is not None]
            if values and not prefixed:
                store[key_of(name, label)] = values[0]
                found = True
    if fidelity is not None and not prefixed and not found:
        keys = sorted({k for atoms in frames for k in (*atoms.info, *atoms.arrays)} - {"numbers", "positions"})
        raise DataError(
            f"no label found; the file has the keys {', '.join(keys) if keys else 'of plain XYZ only'}.",
            file=path,
            key=key_of(fidelity, Label.ENERGY),
            hint=f"Expected {key_of(fidelity, Label.ENERGY)}, REF_energy or energy (eV), and so on.",
        )


def _name_frames(frames: Sequence[Atoms], path: Path) -> None:
    """Give every frame a structure_id and a group (both str)."""
    by_config = len({str(a.info["config_type"]) for a in frames if "config_type" in a.info}) >= 3
    group_keys = (*GROUP_KEYS, "config_type") if by_config else GROUP_KEYS
    seen: dict[str, int] = {}
    for index, atoms in enumerate(frames):
        name = str(atoms.info.get("structure_id", f"{path.stem}-{index:05d}"))
        if name in seen:
            raise DataError(
                f"'{name}' is also the name of frame {seen[name]}; expected a different one for each frame.",
                file=path,
                frame=index,
                key="structure_id",
            )
        seen[name] = index
        group = next((str(atoms.info[k]) for k in group_keys if k in atoms.info), name)
        atoms.info.update(structure_id=name, group=group)
