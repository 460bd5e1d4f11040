"""Cores by name, from the entry points of group `mfbench.cores`; another package can bring one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded, owner_of, package_of, points_of

if TYPE_CHECKING:
    from mfbench.mfcore.core import Core

GROUP = "mfbench.cores"
DEFAULT = "equivariant"
"""The core that counts where none is named."""


@cache
def _points() -> dict[str, EntryPoint]:
    return points_of(GROUP)


def core_names() -> list[str]:
    """Names of all cores: the default one, then the others in alphabetical order."""
    return sorted(_points(), key=lambda name: (name != DEFAULT, name))


def core_class(name: str) -> type[Core]:
    """The class of a core.

    Raises
    ------
    ConfigError
        If there is no such core, or its entry point names something that is no core of this name.
    """
    from mfbench.mfcore.cores.validity import checked_class  # names are wanted without torch, too

    point = _points().get(name)
    if point is None:
        raise ConfigError(f"core '{name}': unknown; the cores are {', '.join(core_names())}.")
    return checked_class(loaded("core", point), name, f"core '{name}'{owner_of(point)}")


def package_of_core(name: str) -> str:
    """Name and version of the other package that brought a core; "" for a built-in one, or where it is not known."""
    point = _points().get(name)
    return "" if point is None else package_of(point)


def core_from_description(description: Mapping[str, Any], package: str = "") -> Core:
    """The network that :meth:`mfbench.mfcore.core.Core.description` describes; weights are random.

    Parameters
    ----------
    package
        The package that brought its core when it was stored, for the message.

    Raises
    ------
    ConfigError
        If its core is not installed.
    """
    values = dict(description)
    name = values.pop("core", DEFAULT)
    if name not in core_names():
        raise ConfigError(
            f"core '{name}' of this network is not installed (there are {', '.join(core_names())}); "
            f"install the package that brought it{f', {package}' if package else ''}."
        )
    return core_class(name).from_description(values)
