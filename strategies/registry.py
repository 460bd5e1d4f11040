"""Arms by name, from the entry points of group `mfbench.strategies`; another package can bring one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint
from inspect import isabstract
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded, points_of, unusable

if TYPE_CHECKING:
    from mfbench.strategies.base import Strategy

GROUP = "mfbench.strategies"


@cache
def _points() -> dict[str, EntryPoint]:
    return points_of(GROUP)


def is_arm(name: str) -> bool:
    """Say whether an arm of this name is installed and can be used."""
    try:
        arm_class(name)
    except ConfigError:
        return False
    return True


def arm_names() -> list[str]:
    """Names of all arms that can be used, by their `position` and then by name."""
    return sorted(_points().keys() - unusable_arms().keys(), key=lambda name: (arm_class(name).position, name))


def unusable_arms() -> dict[str, str]:
    """Arms that are installed and cannot be used, in alphabetical order, with the reason."""
    found = {}
    for name in sorted(_points()):
        try:
            arm_class(name)
        except ConfigError as error:
            found[name] = str(error)
    return found


def is_usual(name: str, starts: bool = False) -> bool:
    """Say whether an arm is among "all" arms, where none is named; `starts`: where they start from a checkpoint."""
    known = arm_class(name)
    return known.usual or (starts and known.usual_from_checkpoint)


def arm_class(name: str) -> type[Strategy]:
    """The class of an arm; its attributes say which data it must get and how reports show it.

    Raises
    ------
    ConfigError
        If there is no such arm, or its entry point cannot be loaded or is no class on `Strategy` of its name that can
        be made.
    """
    from mfbench.strategies.base import Strategy

    point = _points().get(name)
    if point is None:
        raise ConfigError(f"arm '{name}': unknown; the arms are {', '.join(sorted(_points()))}.")
    found = loaded("arm", point)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise unusable("arm", point, "it is no class on mfbench.strategies.Strategy")
    if isabstract(found):
        raise unusable("arm", point, f"the class lacks {', '.join(sorted(found.__abstractmethods__))}")
    if (own := getattr(found, "name", None)) != name:
        raise unusable("arm", point, f"its class attribute name is {own!r}, expected {name!r}")
    for key, kind in (("summary", str), ("position", int)):
        if not isinstance(value := getattr(found, key, None), kind):
            raise unusable(
                "arm", point, f"its class attribute {key} is {value!r}, expected one of type {kind.__name__}"
            )
    return found


def make_arm(name: str, settings: Mapping[str, Any] | None = None) -> Strategy:
    """An arm with settings."""
    return arm_class(name)(settings)


def arm_summary(name: str) -> str:
    """One line about an arm."""
    return arm_class(name).summary
