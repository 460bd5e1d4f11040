"""Declarations of an observable: its metrics, and the tables of reports that they stand in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Better = Literal["lower", "higher", "nearer zero", ""]
"""Direction of improvement; "" where there is none: a diffusivity is compared with a reference, not ranked."""

BASELINES = {"constant": "constant predictor", "lf_labels": "LF labels"}
"""Answers without training whose errors every run stores: prefixes of the metrics, and the lines' names in tables."""

ERRORS, RETENTION = "error", "retention"
"""Families of the metrics that stand in the main table of a report, and in the one of errors at lower fidelities."""


@dataclass(frozen=True)
class Metric:
    """A metric of the rows.

    Attributes
    ----------
    name
        In the rows; `{T}` stands for a temperature in K, `{element}` for an element in small letters, `{member}` for
        the formula of a compound, `{distance}` for one to the hull in meV/atom.
    title
        Short, for the head of a column.
    label
        Long, for an axis; without the unit.
    unit
        Of the stored value; "" for a number without one.
    better
        Direction of improvement.
    family
        The table that it stands in: `ERRORS`, `RETENTION`, or the family of a :class:`Section`. A metric of any other
        family is stored and stands in no table.
    shown_unit, scale
        For tables, which show the value times `scale`, in `shown_unit`.
    """

    name: str
    title: str
    label: str
    unit: str
    better: Better
    family: str
    shown_unit: str = ""
    scale: float = 1.0

    @property
    def axis(self) -> str:
        """Label of an axis, with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def match(self, name: str) -> re.Match[str] | None:
        """Match a name in the rows; the groups are the blanks."""
        return _pattern(self.name).fullmatch(name)


_NUMBER = r"\d+(?:\.\d+)?"
_BLANKS = {"T": _NUMBER, "distance": _NUMBER, "element": r"[a-z]{1,2}", "member": r"[A-Z][A-Za-z0-9]*"}


@cache
def _pattern(name: str) -> re.Pattern[str]:
    text = re.escape(name)
    for blank, values in _BLANKS.items():
        text = text.replace(rf"\{{{blank}\}}", f"(?P<{blank}>{values})")
    return re.compile(text)


@dataclass(frozen=True)
class Section:
    """A table of its own below the errors and costs.

    Attributes
    ----------
    family
        Of the metrics in it.
    title
        Subject of the table.
    note
        Sentence under it that explains its columns.
    own_rate
        Beginning of the titles of those columns whose value for the ceiling is told under the table: the rate at which
        the criteria of an observable pass a potential that is trained on every HF label. "": no such column.
    """

    family: str
    title: str
    note: str = ""
    own_rate: str = ""
