"""Options of the commands that read a user's files: which keys are labels, what groups are; and how it is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

ONE_FILE = ("file",)
"""Roles of a command that reads a single file."""

EnergyKey = Annotated[
    list[str] | None,
    typer.Option(
        "--energy-key",
        help="Key to read as the energy; low=KEY, high=KEY, test=KEY or LEVEL=KEY for one of several files.",
        metavar="KEY",
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

AcceptFaults = Annotated[
    bool, typer.Option("--accept-faults", help="Train on labels whose sign or unit cannot be right, all the same.")
]


def reading_of(
    energy: Sequence[str] | None,
    forces: Sequence[str] | None,
    stress: Sequence[str] | None,
    group_key: str | None,
    block: int | None,
    roles: Sequence[str] = ("low", "high"),
    others: Sequence[str] = (),
) -> dict[str, Any]:
    """Return how to read a user's files, as the task of these files takes it.

    Parameters
    ----------
    roles
        Of the files that a key without a role is for.
    others
        Roles that a key is for only if it says so.

    Raises
    ------
    ConfigError
        If a label gets two keys for one file, or a key is for a file that is not read.
    """
    from mfbench.mfcore.errors import ConfigError

    keys: dict[str, dict[str, str]] = {role: {} for role in (*roles, *others)}
    for label, given in (("energy", energy), ("forces", forces), ("stress", stress)):
        for item in given or ():
            role, equals, key = item.partition("=")
            if equals and (role not in keys or roles == ONE_FILE or not key):
                known = "" if roles == ONE_FILE else f", or {', '.join(f'{name}=KEY' for name in keys)}"
                why = "one file is read here" if known == "" else f"no file is '{role}'" if key else "no key is given"
                raise ConfigError(f"--{label}-key {item}: {why}; expected KEY{known}.")
            for one in (role,) if equals else roles:
                if label in keys[one]:
                    raise ConfigError(f"--{label}-key: '{keys[one][label]}' and '{item}' are both for {one}; give one.")
                keys[one][label] = key if equals else item
    named = {role: found for role, found in keys.items() if found}
    return {"keys": named, "group_key": group_key, "block": block}


def check_faults(faults: Sequence[str], accept: bool) -> list[str]:
    """Return notes on labels that cannot be right but are accepted.

    Raises
    ------
    DataError
        If there are any that are not.
    """
    from mfbench.mfcore.errors import DataError

    if faults and not accept:
        raise DataError(
            "; ".join(faults).removesuffix(".") + ".",
            hint="Mend the file (mfbench data inspect says more), or give --accept-faults to train on it as it is.",
        )
    return [f"FAULT, accepted: {fault}" for fault in faults]


def say(console: Console, notes: Iterable[str]) -> None:
    """Print how files were read, one sentence a line."""
    for note in notes:
        console.print(f"note: {note}.", markup=False, highlight=False, soft_wrap=True)
