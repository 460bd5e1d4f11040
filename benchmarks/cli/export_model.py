"""`mfbench export-model`: a fitted potential for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.output import say

EXAMPLES = """Examples:

mfbench export-model model --format torch-sim --out for-torch-sim

mfbench export-model model --format lammps --out for-lammps --fidelity low"""


class FormatName(StrEnum):
    """Names of the formats; a test holds them against those that there are."""

    TORCH_SIM = "torch-sim"
    LAMMPS = "lammps"
    TORCH_EXPORT = "torch-export"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("export-model", epilog=EXAMPLES)(export_model)


def export_model(
    model: Annotated[Path, typer.Argument(help="Folder of a potential (mfbench fit).")],
    form: Annotated[
        FormatName,
        typer.Option(
            "--format",
            help="torch-sim: batched relaxations and dynamics; lammps: LAMMPS by its Python module; torch-export: a "
            "graph of torch.export.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write: the potential and a script that uses it; must not exist.")
    ],
    fidelity: Annotated[
        str | None, typer.Option(help="Which of the potential's fidelities.", show_default="the highest")
    ] = None,
) -> None:
    """Write a potential for another program: one fidelity, with the networks that it needs, and a script to start from.

    What is written is data that is read without executing it, and the script. Δ on labels needs labels of a cheaper
    level, and cannot be exported.
    """
    import warnings

    from mfbench.benchmarks.exports import folder
    from mfbench.mfcore.errors import EstimateWarning, UntrainedWarning
    from mfbench.mfcore.locks import only_writer_of

    with only_writer_of(out), warnings.catch_warnings(record=True) as caught:
        for category in (EstimateWarning, UntrainedWarning):
            warnings.simplefilter("always", category)
        potential = folder.export_model(model, form.value, out, fidelity)
    for warning in caught:
        say(f"warning: {warning.message}.", err=True)
    name, networks = next(iter(potential.outputs)), len(potential.cores)
    say(f"{out}: '{name}' of {potential.arm}, {networks} network{'s' * (networks > 1)}")
    say(f"Then: {folder.FORMATS[form.value].then.format(out=out)}")
