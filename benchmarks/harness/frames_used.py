"""Frames that a run was trained and selected on, as numbers in the order of the task's frames: a detail of each run.

Numbers are written as ranges, "0-3,7,9-12"; the sha256 of the names of the frames tells whether they are still those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.data.splits import id_of, ids_hash

if TYPE_CHECKING:
    from ase import Atoms

    from mfbench.mfcore.data.training_set import TrainingSet

DETAIL = "frames"

TYPES: Mapping[str, str] = {"part": "str", "fidelity": "str", "n": "int64", "ids_sha256": "str", "frames": "str"}
"""Columns of the detail and their types; `part` is "train" or "validation"."""


def frames_used(frames: Sequence[Atoms], training: TrainingSet, *, uses_low: bool) -> list[dict[str, Any]]:
    """List the frames that a run learns from, by fidelity, and those that its weights are selected on.

    Parameters
    ----------
    frames
        All frames of the task, in their order.
    training
        What the run was given.
    uses_low
        Whether its arm learns from LF labels.
    """
    places = {id_of(atoms): index for index, atoms in enumerate(frames)}
    names = training.fidelities if uses_low else (training.high,)
    parts = [("train", name, training.train[name]) for name in names]
    return [
        {
            "part": part,
            "fidelity": fidelity,
            "n": len(chosen),
            "ids_sha256": ids_hash(chosen),
            "frames": as_ranges(places[id_of(atoms)] for atoms in chosen),
        }
        for part, fidelity, chosen in [*parts, ("validation", training.high, training.validation)]
    ]


def as_ranges(numbers: Iterable[int]) -> str:
    """Write whole numbers as ranges, ascending: "0-3,7"."""
    ordered = sorted(set(numbers))
    if not ordered:
        return ""
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(ordered), 1) if b != a + 1), len(ordered)]
    ends = [(ordered[start], ordered[end - 1]) for start, end in pairwise(breaks)]
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ends)


def of_ranges(text: str) -> frozenset[int]:
    """Read what :func:`as_ranges` writes.

    Raises
    ------
    ValueError
        If it is something else.
    """
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)
