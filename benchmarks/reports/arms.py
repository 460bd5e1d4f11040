"""Traits of arms as reports need them: role, needs and look, from the class of each arm that is installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfbench.strategies.base import Role

RANKS: dict[Role, int] = {"floor": 0, "reference": 1, "candidate": 2, "ceiling": 3}
"""Order of arms in tables."""


@dataclass(frozen=True)
class Traits:
    """Traits that an arm declares (see :class:`mfbench.strategies.base.Strategy`).

    The defaults are those of an arm that rows name and nobody installed here: a candidate that learns from LF labels.
    """

    name: str
    label: str
    installed: bool = False
    role: Role = "candidate"
    uses_low: bool = True
    only_low_stage: bool = False
    needs_paired: bool = False
    self_contained: bool = True
    colour: str = ""
    marker: str = ""
    line: str = "-"

    @property
    def is_ceiling(self) -> bool:
        """Say whether the arm is shown beside the others and never ranked."""
        return self.role == "ceiling"

    @property
    def note(self) -> str:
        """Remark that belongs under each table with the arm; empty for most."""
        if self.is_ceiling:
            return "the ceiling: it is given every HF label, and is not ranked"
        if self.role == "floor":
            return "the floor: HF labels only set its reference energies"
        if not self.self_contained:
            return "needs the LF labels of every structure that it predicts; their cost is not in 'inference'"
        return ""


@cache
def traits(arm: str) -> Traits:
    """Give the traits of an arm; neutral ones if it is not installed."""
    from mfbench.strategies.registry import arm_class, is_arm

    if not is_arm(arm):
        return Traits(arm, arm)
    known = arm_class(arm)
    return Traits(
        name=arm,
        label=known.label or arm,
        installed=True,
        role=known.role,
        uses_low=known.uses_low,
        only_low_stage=known.only_low_stage,
        needs_paired=known.needs_paired,
        self_contained=known.self_contained,
        colour=known.colour,
        marker=known.marker,
        line=known.line,
    )


def in_order(arms: Iterable[str]) -> list[str]:
    """Sort arms as tables have them: the floor, the reference, the others by name, the ceiling."""
    return sorted(set(arms), key=lambda arm: (RANKS[traits(arm).role], arm))


def ceilings(arms: Iterable[str]) -> list[str]:
    """Those of some arms that are ceilings."""
    return [arm for arm in in_order(arms) if traits(arm).is_ceiling]


def reference_of(arms: Iterable[str]) -> str | None:
    """The arm that others are counted against; None if no arm has that role."""
    return next((arm for arm in in_order(arms) if traits(arm).role == "reference"), None)


@cache
def left_out(core: str, arms: tuple[str, ...]) -> tuple[str, ...]:
    """Sentence that names the arms which a core is not able to carry, and why; none where there are none.

    Parameters
    ----------
    core
        As rows name it; of one that is not installed, or cannot be used, nothing is known.
    arms
        Those of the rows, on whichever core.
    """
    from mfbench.benchmarks.harness.cores import missing
    from mfbench.mfcore.cores.registry import core_class, core_names
    from mfbench.mfcore.errors import ConfigError
    from mfbench.strategies.registry import arm_names

    name = core.partition("(")[0]
    if name not in core_names():
        return ()
    try:
        has, known = ", ".join(core_class(name).conditionings), arm_names()
    except ConfigError:  # a core that cannot be used says as little as one that is not installed
        return ()
    found = [
        f"{arm} (it needs {' and '.join(m)})" for arm in in_order(arms) if arm in known and (m := missing(arm, name))
    ]
    return (f"Left out on core {name}, which has {has} only: {', '.join(found)}.",) if found else ()


def not_installed(arms: Iterable[str]) -> list[str]:
    """Those of some arms that no package here brings, so that reports know their names only."""
    return [arm for arm in in_order(arms) if not traits(arm).installed]
