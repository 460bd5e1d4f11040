"""Levels of theory and the labels that each of them has.

A fidelity is named by the prefix of its keys in a frame (`<fidelity>_energy`, ...). Wherever several
fidelities are listed they are ordered from the cheapest to the target: the last one is HF.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mfbench.mfcore.errors import ConfigError


class Label(StrEnum):
    """A kind of label: energy (eV), forces (eV/Å) or stress (eV/Å³, ASE's sign)."""

    ENERGY = "E"
    FORCES = "F"
    STRESS = "S"


@dataclass(frozen=True)
class LabelSet:
    """Which of energy, forces and stress a fidelity is trained on; written "E", "EF", "EFS"."""

    labels: frozenset[Label]

    @classmethod
    def parse(cls, text: str) -> LabelSet:
        """Read "EF" and the like.

        Raises
        ------
        ConfigError
            If `text` is empty, repeats a letter, or has one that is not E, F or S.
        """
        letters = list(text.upper())
        if not letters or len(set(letters)) != len(letters) or any(x not in "EFS" for x in letters):
            raise ConfigError(f"labels '{text}': expected some of E, F, S, each once, as in 'EF'.")
        return cls(frozenset(Label(x) for x in letters))

    @classmethod
    def of(cls, labels: Iterable[Label]) -> LabelSet:
        """Make a label set from labels."""
        return cls(frozenset(labels))

    def __contains__(self, label: object) -> bool:
        return label in self.labels

    def __str__(self) -> str:
        return "".join(x.value for x in Label if x in self.labels)


def parse_label_regime(text: str) -> dict[str, LabelSet]:
    """Read "low=EF,high=E" into label sets by role or fidelity name.

    Raises
    ------
    ConfigError
        If a part is not NAME=LABELS or a name comes twice.
    """
    sets: dict[str, LabelSet] = {}
    for part in text.split(","):
        name, equals, letters = part.strip().partition("=")
        if not equals or not name or name in sets:
            raise ConfigError(f"labels '{text}': expected NAME=LABELS, each name once, as in 'low=EF,high=E'.")
        sets[name] = LabelSet.parse(letters)
    return sets


def format_label_regime(sets: Mapping[str, LabelSet]) -> str:
    """Write label sets as "low=EF,high=E"; the inverse of :func:`parse_label_regime`."""
    return ",".join(f"{name}={labels}" for name, labels in sets.items())
