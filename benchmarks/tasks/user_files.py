"""A user's files of frames: what each is, how it is read, and how the frames of all of them become one set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field

from mfbench.mfcore.data.duplicates import check_one_energy
from mfbench.mfcore.data.frames import (
    UNNAMED_FIDELITY,
    drop_labels,
    energy_of,
    fidelities_in,
    forces_of,
    has_label,
    key_of,
    rename_fidelity,
    set_labels,
    stress_of,
)
from mfbench.mfcore.data.isolated import is_isolated
from mfbench.mfcore.data.label_keys import LabelKeys
from mfbench.mfcore.data.leakage import Duplicate
from mfbench.mfcore.data.read import read_file
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.data.time_series import BLOCK
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label
from mfbench.strategies.fit_context import DELTA

TEST = "test"
"""Role of files of test frames; of the others, the role is "low", "high" or the name of a level."""

_NO_LABELS = {"numbers", "positions", "structure_id", "group"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_TAKEN = (TEST, UNNAMED_FIDELITY, DELTA, "all", "predicted")
"""Names that mean something else: a role, plain keys, a difference, all frames, and what `mfbench predict` writes."""


class Reading(BaseModel):
    """How to read a user's files, otherwise than by default.

    Attributes
    ----------
    keys
        By role (low, high or the name of a level, and test), keys to read energy, forces and stress from. Test files
        are read by the keys of the target where they have none of their own.
    group_key
        Key that names a frame's group; "none" makes each frame its own group.
    block
        Frames of a block of a time series; 1 leaves frames as they are, None lets their correlation say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[str, dict[str, str]] = {}
    group_key: str | None = None
    block: int | None = Field(None, ge=1)


@dataclass(frozen=True)
class Source:
    """A file of one level.

    Attributes
    ----------
    role
        "low", "high", or the name of a level.
    path
        The file.
    name
        The fidelity to take from it; None: the only one that it has.
    is_level
        Whether the role is the name that the labels are to have, whatever the file calls them.
    """

    role: str
    path: Path
    name: str | None = None
    is_level: bool = False


@dataclass
class FileOfFrames:
    """The frames of a file, with their fidelity settled.

    Attributes
    ----------
    notes
        Sentences on how the file was read, without a full stop.
    tested
        Names of frames that are test frames, and of the latter.
    """

    path: Path
    fidelity: str
    frames: list[Atoms]
    notes: list[str]
    tested: list[tuple[str, str]] = field(default_factory=list)


def sources_of(
    low: str | Path | None,
    high: str | Path | None,
    low_name: str | None,
    high_name: str | None,
    levels: Sequence[tuple[str, str | Path]],
) -> tuple[Source, ...]:
    """List the files of the levels, cheapest first, the target last.

    Raises
    ------
    ConfigError
        If there is no file of the target, both ways to name files are used, or a level has a name that cannot be.
    """
    if levels and (low is not None or high is not None or low_name is not None or high_name is not None):
        raise ConfigError(
            "--level stands in place of --low, --high and their names: give every file as --level NAME=FILE, the "
            "cheapest first and the target last."
        )
    if not levels:
        if high is None:
            raise ConfigError("no file of HF frames: give --high FILE, or --level NAME=FILE for each level.")
        lows = () if low is None else (Source("low", Path(low), low_name),)
        return (*lows, Source("high", Path(high), high_name))
    names = [name for name, _ in levels]
    for place, name in enumerate(names):
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise ConfigError(
                f"--level {name}=FILE: '{name}' is no name for a level; expected letters, digits and . _ + -, and none "
                f"of {', '.join(_TAKEN)}."
            )
        if names.index(name) != place:
            raise ConfigError(f"--level {name}: two files have this name; each level is one file.")
        if (name == "high" and place < len(names) - 1) or (name == "low" and place):
            raise ConfigError(f"--level {name}: the levels are given cheapest first and the target last.")
    return tuple(Source(name, Path(path), is_level=True) for name, path in levels)


def read_source(source: Source, avoid: Sequence[str], reading: Reading) -> FileOfFrames:
    """Read a file, settle which of its fidelities is meant, and say how it was read.

    Parameters
    ----------
    avoid
        Fidelities of other files, which are not meant where there is a choice.

    Raises
    ------
    DataError
        If the file is faulty, has no energy of the fidelity, or has several fidelities and none was named.
    """
    path, role, name = source.path, source.role, source.name
    keys = LabelKeys(**reading.keys.get(role, {}))
    read = read_file(path, name, keys=keys, group_key=reading.group_key)
    frames, notes = read.frames, [f"{path}: {note}" for note in read.notes]
    if name is None and keys:
        name = UNNAMED_FIDELITY
    elif name is None and source.is_level and role in _with_energies(frames):
        name = role
    elif name is None:
        name = _meant(frames, path, source, avoid, notes)
    wanted = role if source.is_level or name == UNNAMED_FIDELITY else name
    _call(frames, name, wanted, path, notes)
    if not any(has_label(a, wanted, Label.ENERGY) for a in frames):
        raise DataError("no frame has an energy of this fidelity.", file=path, key=f"{wanted}_energy")
    return FileOfFrames(path, wanted, frames, notes)


def read_test(path: Path, target: Source, high: str, lows: Sequence[str], reading: Reading) -> FileOfFrames:
    """Read a file of test frames: by the rules of the target's file, and every frame must have an energy of it.

    Raises
    ------
    DataError
        As :func:`read_source`; if a frame has no energy of the target; or if there is none but isolated atoms.
    """
    given = reading.keys.get(target.role, {}) | reading.keys.get(TEST, {})
    keys = LabelKeys(**given)
    read = read_file(path, keys=keys, group_key=reading.group_key)
    notes = [f"{path}: {note}" for note in read.notes]
    if keys:
        name = UNNAMED_FIDELITY
    elif high in _with_energies(read.frames):
        name = high
    else:
        name = _meant(read.frames, path, Source(TEST, path), lows, notes)
    _call(read.frames, name, high, path, notes)
    frames = [a for a in read.frames if not is_isolated(a)]
    if atoms := len(read.frames) - len(frames):
        notes.append(f"{path}: {atoms} isolated atoms are no test of a potential and are left out")
    bare = [i for i, a in enumerate(read.frames) if not is_isolated(a) and not has_label(a, high, Label.ENERGY)]
    if bare or not frames:
        raise DataError(
            f"{len(bare)} of {len(frames)} test frames have no energy of '{high}'." if frames else "no test frame.",
            file=path,
            frame=bare[0] if bare else None,
            key=key_of(high, Label.ENERGY),
            hint="A test frame needs the label of the target: compute it, or leave the frame out.",
        )
    return FileOfFrames(path, high, frames, notes)


def _with_energies(frames: Sequence[Atoms]) -> list[str]:
    return [f for f in fidelities_in(frames) if any(has_label(a, f, Label.ENERGY) for a in frames)]


def _call(frames: Sequence[Atoms], found: str, wanted: str, path: Path, notes: list[str]) -> None:
    """Rename the labels of a fidelity; where the file gave it a name, that is said."""
    if found == wanted:
        return
    for atoms in frames:
        drop_labels(atoms, wanted)
        rename_fidelity(atoms, found, wanted)
    if found != UNNAMED_FIDELITY:
        notes.append(f"{path}: the labels of '{found}' are those of '{wanted}'")


def _meant(frames: Sequence[Atoms], path: Path, source: Source, avoid: Sequence[str], notes: list[str]) -> str:
    """Return the fidelity of a file that a role means: the only one, else the plain keys if they alone have forces."""
    role, found = source.role, _with_energies(frames)
    forced = [f for f in fidelities_in(frames) if any(has_label(a, f, Label.FORCES) for a in frames)]
    complete = [f for f in found if f in forced]
    if not found:
        keys = ", ".join(sorted({str(k) for a in frames for k in (*a.info, *a.arrays)} - _NO_LABELS)) or "none"
        raise DataError(
            f"which labels are the {role} fidelity? No energy is known by its key; there are {keys}.",
            file=path,
            hint="Expected energy (eV) and forces (eV/Å), or NAME_energy and NAME_forces; other keys are named with "
            "--energy-key KEY --forces-key KEY.",
        )
    candidates = [UNNAMED_FIDELITY] if complete == [UNNAMED_FIDELITY] else found
    candidates = [f for f in candidates if f not in avoid] or candidates
    if len(candidates) != 1:
        listed = ", ".join(found)
        option = f"--{role}-name" if role in ("low", "high") and not source.is_level else f"--energy-key {role}=KEY"
        raise DataError(
            f"which labels are the {role} fidelity? The file has {listed}.",
            file=path,
            hint=f"Name one of them ({option}).",
        )
    (name,) = candidates
    if apart := [f for f in forced if f not in found and name not in forced]:
        raise DataError(
            f"the energies are those of '{name}' and the forces those of '{apart[0]}'.",
            file=path,
            hint="Name the keys that belong together: --energy-key KEY --forces-key KEY.",
        )
    for other in (f for f in found if f != name and f not in avoid):
        how = f" (--{role}-name {other} takes it)" if role in ("low", "high") and not source.is_level else ""
        notes.append(f"{path}: '{other}_energy' is not read{how}")
    return name


def merge(
    files: Sequence[FileOfFrames],
    tests: Sequence[FileOfFrames],
    roles: Mapping[str, str],
    same_geometry: Callable[[FileOfFrames, Sequence[Atoms]], list[Duplicate]],
) -> list[Atoms]:
    """Make one set of frames: those of the tests and of the target, and with each cheaper level what is new in it.

    A frame of a cheaper level with the geometry of one that is there already gives it its labels. A frame that has
    the name of another structure gets its role, or its file, before its name.

    Parameters
    ----------
    files
        Of the levels, cheapest first.
    roles
        Role of each fidelity.
    same_geometry
        Finds the frames of a file that have the geometry of one of the others.
    """
    frames, names = list[Atoms](), set[str]()
    for test in tests:
        _add(frames, names, test.frames, TEST)
    n_test = len(frames)
    *lows, high = files
    _add(frames, names, high.frames, roles[high.fidelity])
    for file in reversed(lows):
        same: dict[int, int] = {}
        for pair in same_geometry(file, frames):
            if np.array_equal(file.frames[pair.first].numbers, frames[pair.second].numbers):
                same.setdefault(pair.first, pair.second)
        fresh = []
        for index, original in enumerate(file.frames):
            if index not in same:
                fresh.append(original)
                continue
            target = frames[same[index]]
            if same[index] < n_test:
                file.tested.append((id_of(original), id_of(target)))
            _take_labels(target, original, file.fidelity)
            own = target.info["group"] == id_of(target) or str(target.info["group"]).startswith(BLOCK)
            if own and str(original.info["group"]).startswith(BLOCK):  # one trajectory: its blocks are those of LF
                target.info["group"] = original.info["group"]
        _add(frames, names, fresh, roles[file.fidelity])
    kept = [file.fidelity for file in files]
    for atoms in frames:
        for fidelity in fidelities_in([atoms]):
            if fidelity not in kept:
                drop_labels(atoms, fidelity)
    return frames


def _add(frames: list[Atoms], names: set[str], more: Sequence[Atoms], prefix: str) -> None:
    """Add copies of frames; one whose name is taken by another structure, such as a counter, gets a new one."""
    for original in more:
        atoms = original.copy()
        if id_of(atoms) in names:
            own = atoms.info["group"] == id_of(atoms)
            atoms.info["structure_id"] = f"{prefix}:{id_of(atoms)}"
            if own:
                atoms.info["group"] = id_of(atoms)
        names.add(id_of(atoms))
        frames.append(atoms)


def _take_labels(target: Atoms, source: Atoms, fidelity: str) -> None:
    turned = not np.allclose(target.positions, source.positions, atol=1e-3)
    if has_label(source, fidelity, Label.ENERGY):
        check_one_energy(target, source, fidelity)
        set_labels(target, fidelity, energy=energy_of(source, fidelity))
    if turned:
        return  # forces and stress belong to another orientation
    if has_label(source, fidelity, Label.FORCES):
        set_labels(target, fidelity, forces=forces_of(source, fidelity))
    if has_label(source, fidelity, Label.STRESS):
        set_labels(target, fidelity, stress=stress_of(source, fidelity))
