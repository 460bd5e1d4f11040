"""Loading of plug-ins, with one sentence for whatever is wrong with another package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from mfbench.mfcore.errors import ConfigError


def owner_of(point: EntryPoint) -> str:
    """Words for the package that brought an entry point, with a space before them; "" where it is not known."""
    return f" of package {point.dist.name}" if point.dist is not None else ""


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
        If it cannot be imported or called; names the plug-in, its package and the reason.
    """
    try:
        found = point.load()
        return found() if made else found
    except Exception as error:  # another package's code may raise anything
        raise ConfigError(
            f"{kind} '{point.name}'{owner_of(point)}: {point.value} cannot be used ({type(error).__name__}: {error}); "
            "repair or uninstall that package."
        ) from error
