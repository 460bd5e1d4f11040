"""The option that takes settings which were tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Tuned = Annotated[
    Path | None,
    typer.Option(
        help="File of settings that mfbench tune wrote, over those of --settings; its trials are counted in the rows.",
        metavar="FILE",
    ),
]
