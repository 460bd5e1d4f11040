"""Options of the commands that read a user's files: which keys are labels, what groups are; and how it is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

EnergyKey = Annotated[
    list[str] | None,
    typer.Option(
        "--energy-key", help="Key to read as the energy; low=KEY or high=KEY for one of the files.", metavar="KEY"
    ),
]
ForcesKey = Annotated[
    list[str] | None, typer.Option("--forces-key", help="Column to read as the forces; as --energy-key.", metavar="KEY")
]
StressKey = Annotated[
    list[str] | None,
    typer.Option("--stress-key", help="Key to read as the stress, or as virials; as --energy-key.", metavar="KEY"),
]
GroupKey = Annotated[
    str | None,
    typer.Option(help="Key whose values are the groups, which are held out whole; none: each frame is one."),
]
Block = Annotated[
    int | None,
    typer.Option(min=1, help="Frames of a block of a time series; 1: no blocks.", show_default="two correlation times"),
]


def reading_of(
    energy: Sequence[str] | None,
    forces: Sequence[str] | None,
    stress: Sequence[str] | None,
    group_key: str | None,
    block: int | None,
) -> dict[str, Any]:
    """Return how to read a user's two files, as the task of these files takes it.

    Raises
    ------
    ConfigError
        If a label gets two keys for one file.
    """
    from mfbench.mfcore.errors import ConfigError

    keys: dict[str, dict[str, str]] = {"low": {}, "high": {}}
    for label, given in (("energy", energy), ("forces", forces), ("stress", stress)):
        for item in given or ():
            role, equals, key = item.partition("=")
            for one in (role,) if equals and role in keys else tuple(keys):
                if label in keys[one]:
                    raise ConfigError(f"--{label}-key: '{keys[one][label]}' and '{item}' are both for {one}; give one.")
                keys[one][label] = key if equals and role in keys else item
    named = {role: found for role, found in keys.items() if found}
    return {"keys": named, "group_key": group_key, "block": block}


def say(console: Console, notes: Iterable[str]) -> None:
    """Print how files were read, one sentence a line."""
    for note in notes:
        console.print(f"note: {note}.", markup=False, highlight=False, soft_wrap=True)
