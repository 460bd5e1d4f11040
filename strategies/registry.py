"""Arms by name, from the entry points of group `mfbench.strategies`; another package can bring one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from mfbench.strategies.base import Strategy

GROUP = "mfbench.strategies"
_ORDER = (
    "single_fidelity",
    "multi_fidelity",
    "multi_head",
    "transfer",
    "transfer_frozen",
    "transfer_replay",
    "delta_labels",
    "delta_model",
    "low_fidelity",
    "single_fidelity_all",
)


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def arm_names() -> list[str]:
    """Names of all arms: the built-in ones in the order of the protocol, then those of other packages."""
    known = _points()
    return [n for n in _ORDER if n in known] + sorted(set(known) - set(_ORDER))


def arm_factory(name: str) -> Callable[[Mapping[str, Any] | None], Strategy]:
    """The factory of an arm; its attributes `needs_all_high`, `needs_paired` say what data it must get.

    Raises
    ------
    ConfigError
        If there is no such arm.
    """
    point = _points().get(name)
    if point is None:
        raise ConfigError(f"arm '{name}': unknown; the arms are {', '.join(arm_names())}.")
    factory: Callable[[Mapping[str, Any] | None], Strategy] = point.load()
    return factory


def make_arm(name: str, settings: Mapping[str, Any] | None = None) -> Strategy:
    """An arm with settings."""
    return arm_factory(name)(settings)


def arm_summary(name: str) -> str:
    """One line about an arm."""
    return make_arm(name).summary
