"""The levels of a user's files held against each other: labels that are the same, sizes that look swapped, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from ase import Atoms

from mfbench.benchmarks.tasks.user_files import FileOfFrames
from mfbench.mfcore.data.frames import energy_of, has_label
from mfbench.mfcore.data.inspection import counted
from mfbench.mfcore.data.isolated import is_isolated
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label

_LEAST = 4  # frames with two equal energies; fewer may be a coincidence of how they are rounded


def check_levels_differ(files: Sequence[FileOfFrames], frames: Sequence[Atoms]) -> None:
    """Refuse two levels whose energies are the same in every frame that has both.

    Parameters
    ----------
    files
        Of the levels.
    frames
        Of all files, merged, isolated atoms included.

    Raises
    ------
    DataError
        Names the two levels and their files.
    """
    molecules = [a for a in frames if not is_isolated(a)]
    energies = {f.fidelity: np.array([energy_of(a, f.fidelity) for a in molecules]) for f in files}
    for one, other in combinations(files, 2):
        first, second = energies[one.fidelity], energies[other.fidelity]
        both = np.isfinite(first) & np.isfinite(second)
        if both.sum() >= _LEAST and (first[both] == second[both]).all():
            same = one.path.resolve() == other.path.resolve()
            raise DataError(
                f"the energies of '{one.fidelity}' and of '{other.fidelity}' ({other.path}) are the same in all "
                f"{int(both.sum())} frames that have both"
                + (": one file, with one set of labels, is given for two levels." if same else "."),
                file=one.path,
                hint="Give each level the file, or the keys, of its own labels.",
            )


def level_notes(files: Sequence[FileOfFrames]) -> list[str]:
    """Say which frames lack forces that others have, and if there are more labels of the target than of a cheap level.

    Parameters
    ----------
    files
        Of the levels, the target last.
    """
    notes, counts = [], []
    for file in files:
        labelled = [a for a in file.frames if has_label(a, file.fidelity, Label.ENERGY) and not is_isolated(a)]
        bare = sum(not has_label(a, file.fidelity, Label.FORCES) for a in labelled)
        counts.append(len(labelled))
        if 0 < bare < len(labelled):
            notes.append(f"{file.path}: {file.fidelity}: {counted(bare, 'frame')} with an energy and no forces")
    *lows, high = files
    for low, count in zip(lows, counts, strict=False):
        if count < counts[-1]:
            notes.append(
                f"{high.path}: '{high.fidelity}', the target, has {counts[-1]} frames and '{low.fidelity}' {count}: a "
                "cheap level has more as a rule; are the two swapped?"
            )
    return notes
