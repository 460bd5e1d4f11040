"""A task made of a user's own files: one with LF labels, one with HF labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict

from mfbench.benchmarks.tasks.base import IN_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from mfbench.benchmarks.tasks.fetch import sha256_of
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
from mfbench.mfcore.data.label_keys import LabelKeys
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, near_duplicates, sampling_tolerance
from mfbench.mfcore.data.read import read_file
from mfbench.mfcore.data.splits import groups_of, id_of, nested_order, split_groups, unite_groups
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label, LabelSet

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.15
_COMMON_FRACTION = 0.8  # a label that fewer frames have is not asked for: asking leaves the others out
_LEAST = 4  # frames that a score or a selection is made on
_SAME_LABEL = 1e-6  # eV, eV/Å


class Reading(BaseModel):
    """How to read a user's files, otherwise than by default.

    Attributes
    ----------
    keys
        By role (low, high), keys to read energy, forces and stress from.
    group_key
        Key that names a frame's group; "none" makes each frame its own group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[str, dict[str, str]] = {}
    group_key: str | None = None


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

    Attributes
    ----------
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
    ) -> None:
        self.low_file, self.high_file = Path(low), Path(high)
        self.reading = Reading.model_validate(reading or {})
        highs, high_name, notes = _read(self.high_file, high_name, "high", None, self.reading)
        lows, low_name, more = _read(self.low_file, low_name, "low", high_name, self.reading)
        self.notes = list(dict.fromkeys([*more, *notes]))
        if low_name == high_name:
            raise DataError(
                f"two fidelities have the same name '{low_name}': {self.low_file} and {self.high_file}.",
                key=f"{low_name}_energy",
                hint="Rename the keys of one file, or say which fidelity to take from each.",
            )
        self.fidelities = (low_name, high_name)
        self._frames = _merge(lows, highs, self.fidelities)
        self.duplicate_tolerance = sampling_tolerance(self._frames)
        pairs = near_duplicates(self._frames, tolerance=self.duplicate_tolerance)
        united = unite_groups(self._frames, [(p.first, p.second) for p in pairs])
        for atoms, group in zip(self._frames, united, strict=True):
            atoms.info["group"] = group
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
        gone = {*groups_of(test), *groups_of(validation)}
        return Pools(
            training=[a for a in self.frames if a.info["group"] not in gone],
            gap_ids=None,
            validation=nested_order(validation, seed=SPLIT_SEED, draw=draw),
            n_validation=len(validation),
            tests={IN_COVERAGE: test},
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of both files, by their roles."""
        return {"low": sha256_of(self.low_file), "high": sha256_of(self.high_file)}

    @cached_property
    def _test(self) -> tuple[list[Atoms], list[Atoms]]:
        high = [a for a in self.frames if has_label(a, self.high, Label.ENERGY)]
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
        """Return the labels that (nearly) all frames with an energy of this fidelity have."""
        frames = [a for a in self._frames if has_label(a, fidelity, Label.ENERGY)]
        counts = {label: sum(has_label(a, fidelity, label) for a in frames) for label in Label}
        return LabelSet.of(label for label, n in counts.items() if n >= _COMMON_FRACTION * len(frames))


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
            _take_labels(frames[same[index]], original, fidelities[0])
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
        energy = energy_of(source, fidelity)
        if abs(energy_of(target, fidelity) - energy) > _SAME_LABEL:
            raise DataError(
                f"'{id_of(target)}' and '{id_of(source)}' are one geometry with two energies.",
                key=f"{fidelity}_energy",
                hint="Keep one of them.",
            )
        set_labels(target, fidelity, energy=energy)
    if turned:
        return  # forces and stress belong to another orientation
    if has_label(source, fidelity, Label.FORCES):
        set_labels(target, fidelity, forces=forces_of(source, fidelity))
    if has_label(source, fidelity, Label.STRESS):
        set_labels(target, fidelity, stress=stress_of(source, fidelity))
