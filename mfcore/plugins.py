"""Loading of plug-ins, with one sentence for whatever is wrong with another package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from mfbench.mfcore.errors import ConfigError


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
        owner = f" of package {point.dist.name}" if point.dist is not None else ""
        raise ConfigError(
            f"{kind} '{point.name}'{owner}: {point.value} cannot be used ({type(error).__name__}: {error}); "
            "repair or uninstall that package."
        ) from error
