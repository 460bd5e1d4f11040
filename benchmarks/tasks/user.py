"""The user's own files of LF and HF frames as a task, so that the arms can be compared on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from mfbench.benchmarks.tasks.base import IN_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from mfbench.benchmarks.tasks.user_files import (
    TEST,
    FileOfFrames,
    Reading,
    merge,
    read_source,
    read_test,
    sources_of,
)
from mfbench.benchmarks.tasks.user_findings import Findings
from mfbench.benchmarks.tasks.user_levels import check_levels_differ, level_notes
from mfbench.benchmarks.tasks.user_tests import check_elements, check_high, left_out_notes, make_distinct
from mfbench.mfcore.data.duplicates import Copies, Told, check_contradictions, describe, find_copies
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.inspect import label_faults
from mfbench.mfcore.data.isolated import is_isolated, isolated_notes
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, Duplicate, check_split, near_duplicates
from mfbench.mfcore.data.nearest_references import nearest_notes
from mfbench.mfcore.data.splits import groups_of, id_of, nested_order, split_groups, unite_groups
from mfbench.mfcore.data.time_series import BLOCK, Series, block_groups, find_series
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label, LabelSet, format_label_regime
from mfbench.mfcore.files import sha256_of

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.15
LEAST = 4  # frames that a score or a selection is made on


class UserTask(Task):
    """Frames of a user's files.

    The files may share structures: frames with one geometry (the same order of atoms, positions to 1e-4 Å rms of
    distances) are merged, so that HF frames carry LF labels where there are any. Near-duplicates are united in
    one group. Whole groups of HF frames are held out: 15 % for validation, by draw, and for the test the frames of
    the test files, or else a fifth of the frames, the same for every draw. LF frames of those groups are not trained
    on.

    Parameters
    ----------
    low, high
        Extended XYZ files; without LF frames only arms that need none can be trained.
    low_name, high_name
        Fidelities in them to take. Default: the only one that the file has, or, for plain keys (`energy`,
        `REF_energy`), "low" and "high".
    levels
        In place of these, name and file of each level, cheapest first and the target last.
    test
        Files of test frames with HF labels.
    reading
        How to read the files, otherwise than by default.
    told
        Told how far the comparison of geometries is.
    keep
        Whether what the comparison of frames finds is kept in the user's cache, and taken from there.

    Attributes
    ----------
    label_costs
        CPU-s of the labels of a frame, by fidelity; unknown at first.
    copies
        Near-duplicates among the frames, but those of a test frame and another one.
    notes
        Sentences on how the files were read: which keys became labels, which did not, what groups are.
    faults
        Labels whose sign or unit cannot be right, by file.

    Raises
    ------
    ConfigError
        If the files are named in two ways, or none of the target is.
    DataError
        If a file is faulty, has no energy of its fidelity, has several and none was named, two fidelities have
        one name or the same energies, a frame of two files has two labels that contradict each other, or a test frame
        lacks an HF energy or has an element that no other frame has.
    LeakageError
        If an HF frame that is no test frame is a copy of one, or in its group.
    """

    name = "user"
    least_fidelities = 1  # an arm that learns from HF alone needs no other
    summary = "your own files"
    default_regime = Regime(coverage="full")

    def __init__(
        self,
        low: str | Path | None = None,
        high: str | Path | None = None,
        *,
        low_name: str | None = None,
        high_name: str | None = None,
        levels: Sequence[tuple[str, str | Path]] = (),
        test: Sequence[str | Path] = (),
        reading: Reading | Mapping[str, Any] | None = None,
        told: Told | None = None,
        keep: bool = False,
    ) -> None:
        self.sources = sources_of(low, high, low_name, high_name, levels)
        self.reading = Reading.model_validate(reading or {})
        self.label_costs: Mapping[str, float] = {}
        self.test_files = tuple(Path(path) for path in test)
        files, tests = self._read()
        self.fidelities = tuple(file.fidelity for file in files)
        make_distinct(tests, files)
        self.faults: list[str] = []
        every = [*files, *tests]
        settings = {"fidelities": [file.fidelity for file in every], "n_test": len(tests), "block": self.reading.block}
        findings = Findings([file.frames for file in every], settings, keep=keep)
        for index, file in enumerate(every):
            self._look_into(file, f"file {index + 1}", findings, told)
        roles = {file.fidelity: source.role for file, source in zip(files, self.sources, strict=True)}

        def same_geometry(file: FileOfFrames, others: Sequence[Atoms]) -> list[Duplicate]:
            return findings.of(
                f"{file.fidelity} in others",
                list[Duplicate],
                lambda: near_duplicates(file.frames, others, tolerance=SAME_GEOMETRY),
            )

        self._frames = merge(files, tests, roles, same_geometry)
        check_levels_differ(files, self._frames)
        self._test_sizes = [len(file.frames) for file in tests]
        self._n_test = sum(self._test_sizes)
        found = findings.of("copies", Copies, lambda: find_copies(self._frames, told))
        across = [p for p in found.pairs if (p.first < self._n_test) != (p.second < self._n_test)]
        self._copied = [(id_of(self._frames[p.first]), id_of(self._frames[p.second])) for p in found.pairs]
        crossing = set(across)
        self.copies = replace(found, pairs=tuple(p for p in found.pairs if p not in crossing))
        self.duplicate_tolerance = self.copies.tolerance
        united = unite_groups(self._frames, [(p.first, p.second) for p in self._together()])
        for atoms, group in zip(self._frames, united, strict=True):
            atoms.info["group"] = group
        self.notes = list(dict.fromkeys(note for file in (*files, *tests) for note in file.notes))
        self.notes += level_notes(files)
        self.notes += self.copies.note(self._frames)
        if tests:
            self._check_tests(files, tests, across)
        self.notes += isolated_notes(self._learnable, self.fidelities)
        self.notes += [*nearest_notes(self._learnable, self.fidelities), *self._element_notes()]
        self.notes += _said(findings, len(self._frames), told)
        self.default_regime = Regime(labels=self._labels(), coverage="full", pairing=self._pairing())

    def _look_into(self, file: FileOfFrames, name: str, findings: Findings, told: Told | None) -> None:
        """Refuse contradictions in a file, group its time series, and collect what is wrong with its labels."""

        def same() -> list[Duplicate]:
            describe(file.frames, told)
            return near_duplicates(file.frames, tolerance=SAME_GEOMETRY)

        def series(frames: Sequence[Atoms], block: int | None) -> list[Series]:
            return findings.of(f"series in {name}", list[Series], lambda: find_series(frames, block))

        check_contradictions(file.frames, findings.of(f"copies in {name}", list[Duplicate], same), str(file.path))
        file.notes += [f"{file.path}: {note}" for note in block_groups(file.frames, self.reading.block, series)[1]]
        faults = findings.of(f"faults of {name}", list[str], lambda: label_faults(file.frames, [file.fidelity]))
        self.faults += [f"{file.path}: {fault}" for fault in faults]

    def _read(self) -> tuple[list[FileOfFrames], list[FileOfFrames]]:
        """Read the files of the levels, cheapest first, and those of the tests."""
        levels = [source.role for source in self.sources if source.is_level]
        read: list[FileOfFrames] = []
        for source in reversed(self.sources):  # the target first: its fidelity is not meant by the other files
            others = [name for name in levels if name != source.role]
            file = read_source(source, [*others, *(known.fidelity for known in read)], self.reading)
            for known in read:
                if known.fidelity == file.fidelity:
                    twice = file.path.resolve() == known.path.resolve()
                    raise DataError(
                        f"one file, {file.path}, is given for two levels, with the same labels '{file.fidelity}'."
                        if twice
                        else f"two fidelities have the same name '{file.fidelity}': {file.path} and {known.path}.",
                        key=f"{file.fidelity}_energy",
                        hint="Rename the keys of one file, or say which fidelity to take from each.",
                    )
            read.append(file)
        files = read[::-1]
        lows = [file.fidelity for file in files[:-1]]
        high = files[-1].fidelity
        tests = [read_test(path, self.sources[-1], high, lows, self.reading) for path in self.test_files]
        return files, tests

    def _check_tests(
        self, files: Sequence[FileOfFrames], tests: Sequence[FileOfFrames], across: Sequence[Duplicate]
    ) -> None:
        """Refuse tests that HF training frames know, and say which other frames are left out for them."""
        test, others = self._frames[: self._n_test], self._frames[self._n_test :]
        check_high(test, others, self._frames, across, self.high, self.high_file, self.test_files)
        check_elements(tests, others)
        self.notes += left_out_notes(files, test, others, self._frames, across)
        forced = [has_label(a, self.high, Label.FORCES) for a in test]
        if Label.FORCES in self._common(self.high) and not all(forced):
            left = "errors of forces are over the others" if any(forced) else "arms are compared by energies"
            self.notes.append(f"{forced.count(False)} of {len(test)} test frames have no forces: {left}")

    def load(self) -> list[Atoms]:
        """Return the merged frames of all files."""
        return self._frames

    @cached_property
    def frames(self) -> list[Atoms]:
        """The merged frames; the reader of files has checked them, and takes NaN for a missing label."""
        return self._frames

    @property
    def high_file(self) -> Path:
        """The file of the target."""
        return self.sources[-1].path

    @property
    def _learnable(self) -> list[Atoms]:
        """All frames but those of test files."""
        return self._frames[self._n_test :]

    def pools(self, draw: int) -> Pools:
        """Hold out whole groups of HF frames; the test is the same for every draw."""
        tests, remaining = self._tests
        test = [a for frames in tests.values() for a in frames]
        n = validation_size(len(self.candidates))
        held, _ = self._split({"validation": n}, remaining, draw)
        validation = self.unlike(held["validation"], test)
        held_out = [*test, *validation]
        gone = set(groups_of(held_out))
        return Pools(
            training=self.unlike([a for a in self._learnable if a.info["group"] not in gone], held_out),
            gap_ids=None,
            validation=nested_order(validation, seed=SPLIT_SEED, draw=draw),
            n_validation=len(validation),
            tests=tests,
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of the files, by their roles, and how they are read if that is not the default."""
        files = {source.role: sha256_of(source.path) for source in self.sources}
        for index, path in enumerate(self.test_files):
            files[f"{TEST} {index + 1}" if len(self.test_files) > 1 else TEST] = sha256_of(path)
        reading = self.reading.model_dump_json(exclude_defaults=True)
        return files if reading == "{}" else files | {"reading": reading}

    def label_cost(self, frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> float:
        """Return CPU-seconds of labels, by what a frame is said to cost; NaN if nobody said it."""
        return len(frames) * self.label_costs.get(fidelity, float("nan"))

    def check_leakage(
        self, learned: Sequence[Atoms], held_out: Sequence[Atoms], names: tuple[str, str] = ("training", "test")
    ) -> None:
        """Refuse a split in which a group, or a copy of a frame, is on both sides; copies are those found once."""
        check_split(learned, held_out, self._copied, tolerance=self.copies.tolerance, names=names)

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
        near = {b for a, b in self._copied if a in held} | {a for a, b in self._copied if b in held}
        return [a for a in frames if id_of(a) not in near]

    def _element_notes(self) -> list[str]:
        """Say which elements no label of a level is about."""
        elements = {
            name: {int(z) for a in self._learnable if has_label(a, name, Label.ENERGY) for z in a.numbers}
            for name in self.fidelities
        }
        notes, cheaper = [], set[int]()
        for name in self.fidelities[:-1]:  # from the cheapest on
            cheaper |= elements[name]
            if lacking := sorted(elements[self.high] - cheaper):
                symbols = ", ".join(chemical_symbols[z] for z in lacking)
                notes.append(
                    f"no '{name}' label, nor one of a cheaper level, has {symbols}: no potential answers for it there"
                )
        high = elements.pop(self.high)
        if not (alone := sorted(set().union(*elements.values()) - high)):
            return notes
        symbols = ", ".join(chemical_symbols[z] for z in alone)
        lows = " or ".join(f"'{name}'" for name in elements)
        return [
            *notes,
            f"no '{self.high}' label has {symbols}: arms whose network learns it at {lows} answer with "
            "an estimate and warn of it, the others refuse",
        ]

    @property
    def candidates(self) -> list[Atoms]:
        """Frames with an HF energy, but those of test files, that may be held out: all but isolated atoms."""
        return [a for a in self._learnable if has_label(a, self.high, Label.ENERGY) and not is_isolated(a)]

    @property
    def n_test(self) -> int:
        """Number of test frames."""
        return sum(len(frames) for frames in self._tests[0].values())

    def tests_without(self, fidelity: str) -> int:
        """Return how many frames of test files have no energy of a fidelity."""
        return sum(not has_label(a, fidelity, Label.ENERGY) for a in self._frames[: self._n_test])

    @cached_property
    def _tests(self) -> tuple[dict[str, list[Atoms]], list[Atoms]]:
        """Test frames by split, and the HF frames that are none."""
        high = self.candidates
        if not self.test_files:
            held, rest = self._split({TEST: max(LEAST, round(TEST_FRACTION * len(high)))}, high, 0)
            return {IN_COVERAGE: held[TEST]}, rest
        return self._of_test_files(), high

    def _of_test_files(self) -> dict[str, list[Atoms]]:
        tests, start = dict[str, list[Atoms]](), 0
        names = [path.name for path in self.test_files]
        for path, n in zip(self.test_files, self._test_sizes, strict=True):
            tests[path.name if names.count(path.name) == 1 else str(path)] = self._frames[start : start + n]
            start += n
        return tests

    def _split(
        self, sizes: dict[str, int], frames: Sequence[Atoms], draw: int
    ) -> tuple[dict[str, list[Atoms]], list[Atoms]]:
        try:
            return split_groups(frames, sizes, seed=SPLIT_SEED, draw=draw)
        except ConfigError as error:
            raise DataError(str(error), file=self.high_file, key="group") from None

    def _common(self, fidelity: str) -> LabelSet:
        """Return the labels that any frame has of this fidelity, tests apart."""
        return LabelSet.of(label for label in Label if any(has_label(a, fidelity, label) for a in self._learnable))

    def _labels(self) -> str:
        """Labels of the regime: by role, but by name where cheaper levels have different ones."""
        sets = {name: self._common(name) for name in self.fidelities}
        lows = {str(sets[name]) for name in self.fidelities[:-1]}
        if len(lows) > 1:
            return format_label_regime(sets)
        return ",".join([*(f"low={labels}" for labels in lows), f"high={sets[self.high]}"])

    def _pairing(self) -> Any:
        """Say "paired" if every HF frame has labels of all cheaper levels."""
        high, lows = [a for a in self._learnable if has_label(a, self.high, Label.ENERGY)], self.fidelities[:-1]
        paired = bool(lows) and all(has_label(a, low, Label.ENERGY) for a in high for low in lows)
        return "paired" if paired else "disjoint"


def _said(findings: Findings, n: int, told: Told | None) -> list[str]:
    """Keep what the comparison of n frames has found; say that it was known, or cannot be kept."""
    if findings.found and told is not None:
        told("known from before", n, n)
    if (reason := findings.keep()) is not None:
        return [f"what the comparison of frames has found is not kept for the next command: {reason}"]
    return [f"{n} frames were compared with each other by an earlier command"] if findings.found else []


def validation_size(n_high: int) -> int:
    """Number of HF frames, of so many, that models of a comparison are selected on, at least."""
    return max(LEAST, round(VALIDATION_FRACTION * n_high))
