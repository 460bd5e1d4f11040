"""Sources of labels in the frames of a file: all keys with one prefix, and how many frames have which label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.mfcore.data.label_keys import FloatArray, key_of_label, numbers
from mfbench.mfcore.fidelity import Label

#: Prefixes that say "this is the label" rather than name a level of theory.
PLAIN = ("", "REF", "ref", "Ref")
_SAME = 1e-6  # of labels under two prefixes that are one set


@dataclass
class Source:
    """Labels of one file whose keys have one prefix.

    Attributes
    ----------
    name
        The prefix; "" for plain keys.
    keys
        Spellings of each label's key, in order of appearance.
    count
        Frames that have each label.
    """

    name: str
    keys: dict[Label, list[str]] = field(default_factory=dict)
    count: dict[Label, int] = field(default_factory=lambda: dict.fromkeys(Label, 0))

    @property
    def complete(self) -> bool:
        """True if it has energies and forces."""
        return self.count[Label.ENERGY] > 0 and self.count[Label.FORCES] > 0

    @property
    def plain(self) -> bool:
        """True if the prefix names no level of theory."""
        return self.name in PLAIN

    def __str__(self) -> str:
        keys = ", ".join(key for spellings in self.keys.values() for key in spellings)
        what = {Label.ENERGY: "energies", Label.FORCES: "forces", Label.STRESS: "stresses"}
        return f"{keys} ({', '.join(f'{self.count[x]} {what[x]}' for x in Label if self.count[x])})"


def survey(frames: Sequence[Atoms]) -> dict[str, Source]:
    """Sources by prefix, in order of appearance; labels that are NaN throughout do not count."""
    sources: dict[str, Source] = {}
    for atoms in frames:
        seen = set()
        for store, per_atom in ((atoms.info, False), (atoms.arrays, True)):
            for key, value in store.items():
                found = key_of_label(key, per_atom)
                if found is None:
                    continue
                source = sources.setdefault(found.source, Source(found.source))
                spellings = source.keys.setdefault(found.label, [])
                if key not in spellings:
                    spellings.append(key)
                if (found.source, found.label) not in seen and _has_numbers(value):
                    seen.add((found.source, found.label))
                    source.count[found.label] += 1
    return sources


def _has_numbers(value: Any) -> bool:
    try:
        return not bool(np.isnan(numbers(value)).all())
    except (TypeError, ValueError):
        return True  # a fault, which is refused where the label is used


def one_set(frames: Sequence[Atoms], first: Source, second: Source) -> bool:
    """Tell if every energy and force of the second source is that of the first."""
    shared = 0
    for atoms in frames:
        for label in (Label.ENERGY, Label.FORCES):
            one, two = (_of_frame(atoms, s, label) for s in (first, second))
            if two is None:
                continue
            if one is None or one.shape != two.shape:
                return False
            if not np.allclose(one, two, rtol=_SAME, atol=_SAME, equal_nan=True):
                return False
            shared += 1
    return shared > 0


def _of_frame(atoms: Atoms, source: Source, label: Label) -> FloatArray | None:
    """The numbers of a label in a frame, of the first of its spellings that is there."""
    store: dict[str, Any] = atoms.arrays if label is Label.FORCES else atoms.info
    for key in best_first(source.keys.get(label, [])):
        if key in store:
            try:
                return numbers(store[key])
            except (TypeError, ValueError):
                return None
    return None


def best_first(spellings: Sequence[str]) -> list[str]:
    """Stress before virials, lower case before others, plural forces before the singular."""
    return sorted(
        spellings, key=lambda k: ("virial" in k.lower(), k.lower().endswith("force"), not k[-6:].islower(), k)
    )
