"""Options of the commands that read a user's files: which keys are labels, and what groups are."""

from __future__ import annotations

from typing import Annotated

import typer

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
