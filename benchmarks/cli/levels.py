"""Options of the commands that train on a user's files: which file is which level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Low = Annotated[
    Path | None,
    typer.Option(help="Frames with LF labels (extended XYZ; energy in eV, forces in eV/Å); arms without LF need none."),
]
High = Annotated[Path | None, typer.Option(help="Frames with HF labels.")]
LowName = Annotated[str | None, typer.Option(help="Fidelity to take from the LF file, if it has several.")]
HighName = Annotated[str | None, typer.Option(help="Fidelity to take from the HF file.")]
Level = Annotated[
    list[str] | None,
    typer.Option(
        help="In place of --low and --high: a level of theory and its file; repeated, the cheapest first and the "
        "target last.",
        metavar="NAME=FILE",
    ),
]


LabelCost = Annotated[
    list[str] | None,
    typer.Option(
        help="CPU-s that the labels of a frame cost, low=S and high=S or by level; shown in the tables, and beside "
        "what more labels would give.",
        metavar="NAME=S",
    ),
]
