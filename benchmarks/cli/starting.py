"""Options on the checkpoint that a network starts from; presets name theirs, and leave the trust to the command."""

from __future__ import annotations

from typing import Annotated

import typer

Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="Weights that the network starts from: a file, a folder that mfbench fit wrote, or a name that the core "
        "knows (sevennet: SevenNet-0, SevenNet-MF-0:PBE); :PART chooses a modality, head or level of it.",
        show_default="random weights",
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust-checkpoint", help="Read a checkpoint that is a pickle, and so executes the code in it."),
]
