"""Arms by name, from the entry points of group `mfbench.strategies`; another package can bring one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded

if TYPE_CHECKING:
    from mfbench.strategies.base import Strategy

GROUP = "mfbench.strategies"


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def is_arm(name: str) -> bool:
    """Say whether an arm of this name is installed; loads none."""
    return name in _points()


def arm_names() -> list[str]:
    """Names of all arms, by their `position` and then by name."""
    return sorted(_points(), key=lambda name: (arm_class(name).position, name))


def is_usual(name: str) -> bool:
    """Say whether an arm is among "all" arms, where none is named."""
    return arm_class(name).usual


def arm_class(name: str) -> type[Strategy]:
    """The class of an arm; its attributes say which data it must get and how reports show it.

    Raises
    ------
    ConfigError
        If there is no such arm, or its entry point cannot be loaded or is no class on `Strategy`.
    """
    from mfbench.strategies.base import Strategy

    point = _points().get(name)
    if point is None:
        raise ConfigError(f"arm '{name}': unknown; the arms are {', '.join(sorted(_points()))}.")
    found = loaded("arm", point)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise ConfigError(f"arm '{name}': {point.value} is no class on mfbench.strategies.Strategy.")
    return found


def make_arm(name: str, settings: Mapping[str, Any] | None = None) -> Strategy:
    """An arm with settings."""
    return arm_class(name)(settings)


def arm_summary(name: str) -> str:
    """One line about an arm."""
    return arm_class(name).summary
