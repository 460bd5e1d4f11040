"""Reading files of frames: their labels, names and groups, checked, and what was made of them in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mfbench.mfcore.data.formats import raw_frames
from mfbench.mfcore.data.frames import fidelities_in, key_of
from mfbench.mfcore.data.label_adoption import adopt_labels
from mfbench.mfcore.data.label_keys import LabelKeys
from mfbench.mfcore.data.naming import name_frames
from mfbench.mfcore.data.validation import check_geometry, validate_frame
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label


@dataclass(frozen=True)
class FrameFile:
    """The frames of a file, and what a reader should know of how they were read.

    Attributes
    ----------
    notes
        Sentences without a full stop: which keys became labels, which did not, what groups are.
    """

    frames: list[Atoms]
    notes: tuple[str, ...]


def read_file(
    path: str | Path,
    fidelity: str | None = None,
    *,
    keys: LabelKeys | None = None,
    group_key: str | None = None,
) -> FrameFile:
    """Read and validate the frames of a file.

    Read are extended XYZ (gzipped or not), ASE's trajectories (.traj), databases (.db) and JSON, pymatgen's JSON of
    structures and computed entries, and documents of MatPES.

    All keys of one prefix are one source of labels: `<prefix>_energy`, `<prefix>_forces`, `<prefix>_stress`, with the
    spellings `force`, `virial`, `virials` (stress = -virial / volume) and any case. Plain keys (`energy`, `forces`,
    `REF_energy`, ...) become labels of `fidelity`, or of "reference" if it is None. An energy that is another quantity
    by its name (`fermi_energy`) is no label unless `keys` names it; where two full sets of plain labels compete, the
    caller is asked to name one.

    A frame without `structure_id` is named `<file stem>-<index>`. Its group is the value of `group_key`, or of the
    first of the keys `group`, `group_id`, `molecule`, `trajectory` that it has, or `config_type` if that takes at least
    three values in the file, else the frame by itself.

    Parameters
    ----------
    path
        Positions in Å, energies in eV, forces in eV/Å, stress in eV/Å³ (ASE's sign) or Voigt xx yy zz yz xz xy.
    fidelity
        A level that the file must have labels of; None takes whatever there is (also nothing).
    keys
        Keys to read labels from, instead of those that are found.
    group_key
        Key that names a frame's group; "none" makes each frame its own group.

    Raises
    ------
    DataError
        Naming file, frame and key: file missing, empty or malformed; unknown element; position or cell that cannot be
        (see :func:`mfbench.mfcore.data.validation.check_geometry`); a label that is no number, infinite, of a size that
        no calculation gives or of wrong shape; NaN in some but not all components of a force or stress; stress without
        a cell; a `structure_id` that comes twice; no label of the requested fidelity.
    """
    path = Path(path)
    frames = raw_frames(path)
    adoption = adopt_labels(frames, path, fidelity, keys)
    notes = adoption.notes + name_frames(frames, path, group_key)
    dropped: Counter[tuple[str, str]] = Counter()
    for index, atoms in enumerate(frames):
        taken_off = validate_frame(atoms, file=path, index=index, spelled=adoption.spelled.get(index))
        dropped.update((adoption.key_in_file(index, key), why) for key, why in taken_off.items())
    if heavy := sum(bool((a.get_masses()[a.numbers == 1] > 1.5).any()) for a in frames if "masses" in a.arrays):
        notes.append(f"D and T of {heavy} frames are read as H of that mass: energies and forces are those of hydrogen")
    notes += [
        f"'{key}' of {n} molecules is zero and is not read: a molecule has none"
        if why == "zero"
        else f"'{key}' of {n} of {len(frames)} frames is NaN: these frames have no such label"
        for (key, why), n in dropped.items()
    ]
    if fidelity is not None and fidelity not in fidelities_in(frames):
        raise DataError(
            "every label of this fidelity is NaN; expected at least one number.",
            file=path,
            key=adoption.key_in_file(0, key_of(fidelity, Label.ENERGY)),
        )
    return FrameFile(frames, tuple(notes))


def read_frames(path: str | Path, fidelity: str | None = None) -> list[Atoms]:
    """Return the frames of a file; as :func:`read_file`, without its notes."""
    return read_file(path, fidelity).frames


def read_structures(path: str | Path) -> list[Atoms]:
    """Return the frames of a file with all keys as they are in it, for predictions: geometries are checked, labels not.

    Raises
    ------
    DataError
        As :func:`read_file`, for files and geometries.
    """
    frames = raw_frames(Path(path))
    for index, atoms in enumerate(frames):
        check_geometry(atoms, file=path, index=index)
    return frames


def notes_of(files: Sequence[tuple[Path, FrameFile]]) -> list[str]:
    """Return the notes of some files, each beginning with the file's name."""
    return [f"{path}: {note}" for path, read in files for note in read.notes]
