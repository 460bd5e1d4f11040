"""A user's own test frames: which frames may not be trained on beside them, and which must not be there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms
from ase.data import chemical_symbols

from mfbench.benchmarks.tasks.user_files import TEST, FileOfFrames
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.leakage import Duplicate
from mfbench.mfcore.data.splits import group_of, groups_of, id_of
from mfbench.mfcore.data.time_series import BLOCK
from mfbench.mfcore.errors import DataError, LeakageError
from mfbench.mfcore.fidelity import Label

_NAMED = 3  # frames of a message


def make_distinct(tests: Sequence[FileOfFrames], files: Sequence[FileOfFrames]) -> None:
    """Give test frames whose name another frame has, such as a counter, a name of their own, in place.

    Groups that are but the name of a frame follow, so that no block or frame of two files is one group by accident.
    """
    known = {id_of(a) for file in files for a in file.frames}
    for index, test in enumerate(tests):
        prefix = TEST if len(tests) == 1 else f"{TEST}{index + 1}"
        clash = any(id_of(a) in known for a in test.frames)
        for atoms in test.frames if clash else ():
            own = group_of(atoms) == id_of(atoms)
            atoms.info["structure_id"] = f"{prefix}:{id_of(atoms)}"
            if own:
                atoms.info["group"] = id_of(atoms)
        known |= {id_of(a) for a in test.frames}


def check_high(
    test: Sequence[Atoms],
    others: Sequence[Atoms],
    frames: Sequence[Atoms],
    across: Sequence[Duplicate],
    high: str,
    file: Path,
    test_files: Sequence[Path],
) -> None:
    """Refuse test frames that frames with HF labels know: copies of theirs, or frames of their groups.

    Parameters
    ----------
    test, others
        The test frames, and all others.
    frames, across
        All frames, and pairs in it of a test frame and another one that are copies.
    high, file
        The target, and its file.

    Raises
    ------
    LeakageError
        Naming frames or groups, and how many they are.
    """
    named = " and ".join(str(path) for path in test_files)
    pairs = [
        (p, frames[p.first], frames[p.second]) if p.first < len(test) else (p, frames[p.second], frames[p.first])
        for p in across
    ]
    copied = [(p, a, b) for p, a, b in pairs if has_label(b, high, Label.ENERGY)]
    if copied:
        closest = {id_of(b): (p, a) for p, a, b in sorted(copied, key=lambda item: -item[0].rms)}
        words = [f"'{name}' is test frame '{id_of(a)}' ({p.rms:.2g} Å)" for name, (p, a) in closest.items()]
        raise LeakageError(
            f"{len(words)} of the frames with '{high}' labels that would be trained on ({file}) are copies of test "
            f"frames ({named}): {_listed(words[::-1])}. Nothing was computed: remove them from one of the two files."
        )
    groups = set(groups_of(test))
    shared = [a for a in others if group_of(a) in groups and has_label(a, high, Label.ENERGY)]
    if shared:
        of = groups_of(shared)
        blocks = any(name.startswith(BLOCK) for name in of)
        remedy = "--block 1 makes no blocks" if blocks else "--group-key none makes each frame a group by itself"
        raise LeakageError(
            f"{len(shared)} of the frames with '{high}' labels that would be trained on ({file}) are in groups of test "
            f"frames ({named}): {_listed(of)}. Nothing was computed: remove them, or, if the groups do not mean that "
            f"frames are alike, say so ({remedy})."
        )


def check_elements(tests: Sequence[FileOfFrames], others: Sequence[Atoms]) -> None:
    """Refuse test frames with an element that no other frame has.

    Raises
    ------
    DataError
        Naming file, frame and elements.
    """
    known = {int(z) for a in others for z in a.numbers}
    for test in tests:
        for atoms in test.frames:
            if unseen := sorted({int(z) for z in atoms.numbers} - known):
                raise DataError(
                    f"test frame '{id_of(atoms)}' has {', '.join(chemical_symbols[z] for z in unseen)}, which no frame "
                    "to train on has.",
                    file=test.path,
                    hint="Leave such frames out, or give training frames with every element.",
                )


def left_out_notes(
    files: Sequence[FileOfFrames],
    test: Sequence[Atoms],
    others: Sequence[Atoms],
    frames: Sequence[Atoms],
    across: Sequence[Duplicate],
) -> list[str]:
    """Say which frames of cheaper levels are not trained on, being test frames or too near to them; see `check_high`.

    `files` are those of the levels, cheapest first.

    Raises
    ------
    DataError
        If nothing of a level is left.
    """
    copies = {id_of(frames[max(p.first, p.second)]): id_of(frames[min(p.first, p.second)]) for p in across}
    groups = set(groups_of(test))
    notes = []
    for file in files[:-1]:
        low = file.fidelity
        levelled = [a for a in others if has_label(a, low, Label.ENERGY)]
        near = [a for a in levelled if id_of(a) in copies]
        grouped = [a for a in levelled if group_of(a) in groups and id_of(a) not in copies]
        words = [f"'{a}' is '{b}'" for a, b in [*file.tested, *((id_of(a), copies[id_of(a)]) for a in near)]]
        start = f"of {len(levelled) + len(file.tested)} '{low}' frames are not trained on, being"
        if words:
            notes.append(f"{len(words)} {start} copies of test frames: {_listed(words)}")
        if grouped:
            notes.append(f"{len(grouped)} {start} in groups of test frames: {_listed(groups_of(grouped))}")
        if len(near) + len(grouped) == len(levelled):
            raise DataError(
                f"every frame with '{low}' labels is a copy of a test frame or in the group of one: none is left to "
                "train on.",
                hint="Give other test frames, or groups by another key (--group-key KEY, or none).",
            )
    return notes


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more
