"""Entry points of other packages, with one sentence for whatever is wrong with one."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mfbench.mfcore.errors import ConfigError

BUILT_IN = "mfbench"
"""The distribution whose entry points win over those that another package brings under the same name."""


def is_built_in(point: EntryPoint) -> bool:
    """Say whether an entry point comes along with mfbench."""
    return point.dist is not None and point.dist.name == BUILT_IN


def points_of(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name; of several with one name, the built-in one.

    Several outside ones with one name are an error where :func:`loaded` is asked for it.
    """
    return {point.name: point for point in sorted(entry_points(group=group), key=is_built_in)}


def clashes(kind: str, group: str) -> list[str]:
    """Sentences about the names that several packages bring, and which of them counts.

    Parameters
    ----------
    kind
        Word for it: "task".
    """
    return [
        f"{kind} '{name}' is brought by the packages {' and '.join(packages)}: "
        + ("the built-in one counts." if BUILT_IN in packages else "none can be used; uninstall all but one.")
        for name, packages in sorted(packages_of(group).items())
        if len(packages) > 1
    ]


@cache
def packages_of(group: str) -> dict[str, list[str]]:
    """Names of the packages that bring each name of a group, in alphabetical order."""
    found: dict[str, set[str]] = {}
    for point in entry_points(group=group):
        if point.dist is not None:
            found.setdefault(point.name, set()).add(point.dist.name)
    return {name: sorted(packages) for name, packages in found.items()}


@cache  # each reading of a name parses the metadata of its package
def owner_of(point: EntryPoint) -> str:
    """Words for the package that brought an entry point, with a space before them; "" where it is not known."""
    return f" of package {point.dist.name}" if point.dist is not None else ""


@cache
def package_of(point: EntryPoint) -> str:
    """Name and version of the other package that brought an entry point; "" for a built-in one or an unknown one."""
    return "" if point.dist is None or is_built_in(point) else f"{point.dist.name} {point.dist.version}"


def unusable(kind: str, point: EntryPoint, why: str) -> ConfigError:
    """The error that names a plug-in, its package and the reason why it cannot be used."""
    named = f"{kind} '{point.name}'{owner_of(point)}"
    return ConfigError(f"{named}: {point.value} cannot be used ({why}); repair or uninstall that package.")


def loaded(kind: str, point: EntryPoint, *, made: bool = False) -> Any:
    """The object that an entry point names.

    Parameters
    ----------
    kind
        Word for it in errors: "task".
    made
        Whether to call it without arguments and give the result.

    Raises
    ------
    ConfigError
        If it cannot be imported or called, even if it tries to end the program, or if several outside packages bring
        it; names the plug-in, its package and the reason.
    """
    packages = packages_of(point.group).get(point.name, [])
    if len(packages) > 1 and BUILT_IN not in packages:
        raise ConfigError(
            f"{kind} '{point.name}': the packages {' and '.join(packages)} bring one each; uninstall all but one."
        )
    try:
        found = point.load()
        if made and not callable(found):
            raise TypeError(f"found {found!r}, expected a class or function that makes one")
        return found() if made else found
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # another package's code may raise anything, SystemExit too
        raise unusable(kind, point, f"{type(error).__name__}: {error}") from error
