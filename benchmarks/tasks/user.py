"""A task made of a user's own files: one with LF labels, one with HF labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from pydantic import BaseModel, ConfigDict, Field

from mfbench.benchmarks.tasks.base import IN_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from mfbench.benchmarks.tasks.fetch import sha256_of
from mfbench.mfcore.data.duplicates import Told, check_contradictions, check_one_energy, describe, find_copies
from mfbench.mfcore.data.frames import (
    UNNAMED_FIDELITY,
    drop_labels,
    energy_of,
    fidelities_in,
    forces_of,
    has_label,
    rename_fidelity,
    set_labels,
    stress_of,
)
from mfbench.mfcore.data.inspect import label_faults
from mfbench.mfcore.data.isolated import is_isolated, isolated_notes
from mfbench.mfcore.data.label_keys import LabelKeys
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, Duplicate, check_split, near_duplicates
from mfbench.mfcore.data.read import read_file
from mfbench.mfcore.data.splits import groups_of, id_of, nested_order, split_groups, unite_groups
from mfbench.mfcore.data.time_series import BLOCK, block_groups
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label, LabelSet

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.15
_LEAST = 4  # frames that a score or a selection is made on


class Reading(BaseModel):
    """How to read a user's files, otherwise than by default.

    Attributes
    ----------
    keys
        By role (low, high), keys to read energy, forces and stress from.
    group_key
        Key that names a frame's group; "none" makes each frame its own group.
    block
        Frames of a block of a time series; 1 leaves frames as they are, None lets their correlation say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[str, dict[str, str]] = {}
    group_key: str | None = None
    block: int | None = Field(None, ge=1)


class UserTask(Task):
    """Frames of two files.

    The files may share structures: frames with one geometry (the same order of atoms, positions to 1e-4 Å rms of
    distances) are merged, so that HF frames carry LF labels where there are any. Near-duplicates are united in
    one group. Whole groups of HF frames are held out: a fifth of the frames for the test, the same for every
    draw, and 15 % for validation, by draw; LF frames of those groups are not trained on.

    Parameters
    ----------
    low, high
        Extended XYZ files.
    low_name, high_name
        Fidelities in them to take. Default: the only one that the file has, or, for plain keys (`energy`,
        `REF_energy`), "low" and "high".
    reading
        How to read the files, otherwise than by default.
    told
        Told how far the comparison of geometries is.

    Attributes
    ----------
    copies
        Near-duplicates among the frames.
    notes
        Sentences on how the files were read: which keys became labels, which did not, what groups are.

    Raises
    ------
    DataError
        If a file is faulty, has no energy of its fidelity, has several and none was named, both fidelities have
        one name, or a frame of both files has two labels that contradict each other.
    """

    name = "user"
    summary = "your own files"
    default_regime = Regime(coverage="full")

    def __init__(
        self,
        low: str | Path,
        high: str | Path,
        *,
        low_name: str | None = None,
        high_name: str | None = None,
        reading: Reading | Mapping[str, Any] | None = None,
        told: Told | None = None,
    ) -> None:
        self.low_file, self.high_file = Path(low), Path(high)
        self.reading = Reading.model_validate(reading or {})
        highs, high_name, notes = _read(self.high_file, high_name, "high", None, self.reading)
        lows, low_name, more = _read(self.low_file, low_name, "low", high_name, self.reading)
        if low_name == high_name:
            raise DataError(
                f"two fidelities have the same name '{low_name}': {self.low_file} and {self.high_file}.",
                key=f"{low_name}_energy",
                hint="Rename the keys of one file, or say which fidelity to take from each.",
            )
        self.fidelities = (low_name, high_name)
        for path, frames, said in ((self.low_file, lows, more), (self.high_file, highs, notes)):
            describe(frames, told)
            check_contradictions(frames, near_duplicates(frames, tolerance=SAME_GEOMETRY), str(path))
            said += [f"{path}: {note}" for note in block_groups(frames, self.reading.block)[1]]
            name = high_name if frames is highs else low_name
            said += [f"{path}: FAULT: {fault}" for fault in label_faults(frames, [name])]
        self._frames = _merge(lows, highs, self.fidelities)
        self.copies = find_copies(self._frames, told)
        self.duplicate_tolerance = self.copies.tolerance
        united = unite_groups(self._frames, [(p.first, p.second) for p in self._together()])
        for atoms, group in zip(self._frames, united, strict=True):
            atoms.info["group"] = group
        self.notes = list(dict.fromkeys([*more, *notes, *self.copies.note(self._frames)]))
        self.notes += [*isolated_notes(self._frames, self.fidelities), *self._element_notes()]
        high_ids = [a for a in self._frames if has_label(a, high_name, Label.ENERGY)]
        labels = f"low={self._common(low_name)},high={self._common(high_name)}"
        paired = all(has_label(a, low_name, Label.ENERGY) for a in high_ids)
        self.default_regime = Regime(labels=labels, coverage="full", pairing="paired" if paired else "disjoint")

    def load(self) -> list[Atoms]:
        """Return the merged frames of both files."""
        return self._frames

    def pools(self, draw: int) -> Pools:
        """Hold out whole groups of HF frames; the test is the same for every draw."""
        test, remaining = self._test
        n = max(_LEAST, round(VALIDATION_FRACTION * (len(test) + len(remaining))))
        held, _ = self._split({"validation": n}, remaining, draw)
        validation = held["validation"]
        validation = self.unlike(validation, test)
        held_out = [*test, *validation]
        gone = set(groups_of(held_out))
        return Pools(
            training=self.unlike([a for a in self.frames if a.info["group"] not in gone], held_out),
            gap_ids=None,
            validation=nested_order(validation, seed=SPLIT_SEED, draw=draw),
            n_validation=len(validation),
            tests={IN_COVERAGE: test},
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of both files, by their roles, and how they are read if that is not the default."""
        reading = self.reading.model_dump_json(exclude_defaults=True)
        files = {"low": sha256_of(self.low_file), "high": sha256_of(self.high_file)}
        return files if reading == "{}" else files | {"reading": reading}

    def check_leakage(
        self, learned: Sequence[Atoms], held_out: Sequence[Atoms], names: tuple[str, str] = ("training", "test")
    ) -> None:
        """Refuse a split in which a group, or a copy of a frame, is on both sides; copies are those found once."""
        pairs = [(id_of(self._frames[p.first]), id_of(self._frames[p.second])) for p in self.copies.pairs]
        check_split(learned, held_out, pairs, tolerance=self.copies.tolerance, names=names)

    def _labelled(self, frames: Sequence[Atoms], sets: Mapping[str, LabelSet], fidelity: str) -> list[Atoms]:
        """Return the frames that have any of the labels: what a frame lacks is masked, and discards nothing."""
        return [a for a in frames if any(has_label(a, fidelity, label) for label in sets[fidelity].labels)]

    def _together(self) -> list[Duplicate]:
        """Return the copies that share a group: not those of two blocks of a series, which are left out instead."""
        blocks = [str(a.info["group"]).startswith(BLOCK) for a in self._frames]
        return [p for p in self.copies.pairs if not (blocks[p.first] and blocks[p.second])]

    def unlike(self, frames: Sequence[Atoms], held_out: Sequence[Atoms]) -> list[Atoms]:
        """Return the frames of which no copy is held out."""
        held = {id_of(a) for a in held_out}
        names = [(id_of(self._frames[p.first]), id_of(self._frames[p.second])) for p in self.copies.pairs]
        near = {b for a, b in names if a in held} | {a for a, b in names if b in held}
        return [a for a in frames if id_of(a) not in near]

    def _element_notes(self) -> list[str]:
        """Say which elements no HF label is about."""
        low, high = (
            {int(z) for a in self._frames if has_label(a, name, Label.ENERGY) for z in a.numbers}
            for name in self.fidelities
        )
        if not (alone := sorted(low - high)):
            return []
        symbols = ", ".join(chemical_symbols[z] for z in alone)
        return [
            f"no '{self.high}' label has {symbols}: arms whose network learns it at '{self.fidelities[0]}' answer with "
            "an estimate and warn of it, the others refuse"
        ]

    @property
    def candidates(self) -> list[Atoms]:
        """Frames with an HF energy that may be held out: all but isolated atoms."""
        return [a for a in self.frames if has_label(a, self.high, Label.ENERGY) and not is_isolated(a)]

    @cached_property
    def _test(self) -> tuple[list[Atoms], list[Atoms]]:
        high = self.candidates
        held, rest = self._split({"test": max(_LEAST, round(TEST_FRACTION * len(high)))}, high, 0)
        return held["test"], rest

    def _split(
        self, sizes: dict[str, int], frames: Sequence[Atoms], draw: int
    ) -> tuple[dict[str, list[Atoms]], list[Atoms]]:
        try:
            return split_groups(frames, sizes, seed=SPLIT_SEED, draw=draw)
        except ConfigError as error:
            raise DataError(str(error), file=self.high_file, key="group") from None

    def _common(self, fidelity: str) -> LabelSet:
        """Return the labels that any frame has of this fidelity."""
        return LabelSet.of(label for label in Label if any(has_label(a, fidelity, label) for a in self._frames))


def _read(
    path: Path, name: str | None, role: str, avoid: str | None, reading: Reading
) -> tuple[list[Atoms], str, list[str]]:
    """Read a file, settle which of its fidelities is meant, and say how it was read."""
    keys = LabelKeys(**reading.keys.get(role, {}))
    read = read_file(path, name, keys=keys, group_key=reading.group_key)
    frames, notes = read.frames, [f"{path}: {note}" for note in read.notes]
    if name is None:
        name = UNNAMED_FIDELITY if keys else _meant(frames, path, role, avoid, notes)
    if name == UNNAMED_FIDELITY:
        name = role
        for atoms in frames:
            rename_fidelity(atoms, UNNAMED_FIDELITY, role)
    if not any(has_label(a, name, Label.ENERGY) for a in frames):
        raise DataError("no frame has an energy of this fidelity.", file=path, key=f"{name}_energy")
    return frames, name, notes


def _meant(frames: Sequence[Atoms], path: Path, role: str, avoid: str | None, notes: list[str]) -> str:
    """Return the fidelity of a file that a role means: the only one, else the plain keys if they alone have forces."""
    found = [f for f in fidelities_in(frames) if any(has_label(a, f, Label.ENERGY) for a in frames)]
    forced = [f for f in fidelities_in(frames) if any(has_label(a, f, Label.FORCES) for a in frames)]
    complete = [f for f in found if f in forced]
    candidates = [UNNAMED_FIDELITY] if complete == [UNNAMED_FIDELITY] else found
    candidates = [f for f in candidates if f != avoid] or candidates
    if len(candidates) != 1:
        listed = ", ".join(found) if found else "none"
        raise DataError(
            f"which labels are the {role} fidelity? The file has {listed}.",
            file=path,
            hint=f"Name one of them (--{role}-name)." if found else "Expected keys energy (eV) and forces (eV/Å).",
        )
    (name,) = candidates
    if apart := [f for f in forced if f not in found and name not in forced]:
        raise DataError(
            f"the energies are those of '{name}' and the forces those of '{apart[0]}'.",
            file=path,
            hint="Name the keys that belong together: --energy-key KEY --forces-key KEY.",
        )
    for other in (f for f in found if f != name):
        notes.append(f"{path}: '{other}_energy' is not read (--{role}-name {other} takes it)")
    return name


def _merge(lows: Sequence[Atoms], highs: Sequence[Atoms], fidelities: tuple[str, str]) -> list[Atoms]:
    """Return HF frames, with the LF labels of LF frames of the same geometry, and then the other LF frames."""
    frames = [a.copy() for a in highs]
    same: dict[int, int] = {}
    for pair in near_duplicates(lows, frames, tolerance=SAME_GEOMETRY):
        if np.array_equal(lows[pair.first].numbers, frames[pair.second].numbers):
            same.setdefault(pair.first, pair.second)
    names = {id_of(a) for a in frames}
    for index, original in enumerate(lows):
        if index in same:
            target = frames[same[index]]
            _take_labels(target, original, fidelities[0])
            own = target.info["group"] == id_of(target) or str(target.info["group"]).startswith(BLOCK)
            if own and str(original.info["group"]).startswith(BLOCK):  # one trajectory: its blocks are those of LF
                target.info["group"] = original.info["group"]
            continue
        atoms = original.copy()
        if id_of(atoms) in names:  # another structure of that name, such as a counter that starts anew
            own = atoms.info["group"] == id_of(atoms)
            atoms.info["structure_id"] = f"low:{id_of(atoms)}"
            if own:
                atoms.info["group"] = id_of(atoms)
        names.add(id_of(atoms))
        frames.append(atoms)
    for atoms in frames:
        for fidelity in fidelities_in([atoms]):
            if fidelity not in fidelities:
                drop_labels(atoms, fidelity)
    return frames


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
