"""Checks of a core's class where it is looked up, so that another package's mistake is one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, get_args

from mfbench.mfcore.core import Conditioning, Core, CoreConfig, ForwardOptions
from mfbench.mfcore.errors import ConfigError

_MADE_BY = ("config", "species", "fidelities", "conditioning", "mean_neighbours")


def checked_class(found: object, name: str, which: str) -> type[Core]:
    """The class of a core, unless it is none.

    Looked at are base, abstract methods, name, settings, conditionings, options and signatures.

    Parameters
    ----------
    found
        What the entry point names.
    name
        Of the entry point.
    which
        Words for the core and its package, which the message begins with.

    Raises
    ------
    ConfigError
        Names the core, its package, what was found and what is expected.
    """
    if not (isinstance(found, type) and issubclass(found, Core)):
        raise ConfigError(f"{which}: {found!r} is no class on mfbench.mfcore.core.Core.")
    _check_class(found, name, which)
    return found


@cache
def _check_class(found: type[Core], name: str, which: str) -> None:
    def refuse(problem: str) -> None:
        raise ConfigError(f"{which}: {problem}; repair or uninstall that package.")

    where = f"class {found.__qualname__}"
    if missing := sorted(found.__abstractmethods__):
        refuse(f"{where} lacks {' and '.join(missing)}")
    for attribute in ("name", "summary"):
        if not isinstance(getattr(found, attribute, None), str):
            refuse(f"{where} has no `{attribute}`, expected a string")
    if found.name != name:
        refuse(f"{where} has the name '{found.name}', expected that of its entry point, '{name}'")
    config: Any = found.Config
    if not (isinstance(config, type) and issubclass(config, CoreConfig)):
        refuse(f"`Config` of {where} is {config!r}, expected a class on mfbench.mfcore.core.CoreConfig")
    _check_words(found.conditionings, "conditionings", get_args(Conditioning), where, refuse)
    if not found.conditionings:
        refuse(f"`conditionings` of {where} is empty, expected some of {', '.join(get_args(Conditioning))}")
    _check_words(found.options, "options", tuple(ForwardOptions.__annotations__), where, refuse)
    _check_signature(found.__init__, (None,), dict.fromkeys(_MADE_BY), f"__init__ of {where}", refuse)
    _check_signature(found.__init__, (None,) * 6, {}, f"__init__ of {where}", refuse)
    options = dict.fromkeys(["create_graph", *sorted(found.options)])
    _check_signature(found.forward, (None,) * 4, options, f"forward of {where}", refuse)


def _check_words(found: Any, attribute: str, known: tuple[str, ...], where: str, refuse: Callable[[str], None]) -> None:
    if not isinstance(found, tuple | list | set | frozenset):
        refuse(f"`{attribute}` of {where} is {found!r}, expected a tuple of some of {', '.join(known)}")
    for word in found:
        if word not in known:
            refuse(f"`{attribute}` of {where} has {word!r}, known are {', '.join(known)}")


def _check_signature(
    function: Callable[..., Any],
    positional: tuple[None, ...],
    keywords: dict[str, None],
    where: str,
    refuse: Callable[[str], None],
) -> None:
    wanted = "batch, forces, stress, create_graph" if "create_graph" in keywords else ", ".join(_MADE_BY)
    if more := sorted(keywords.keys() - {"create_graph", *_MADE_BY}):
        wanted = ", ".join([wanted, *more])
    try:
        inspect.signature(function).bind(*positional, **keywords)
    except TypeError as error:
        refuse(f"{where} has parameters {inspect.signature(function)}, expected (self, {wanted}) ({error})")
