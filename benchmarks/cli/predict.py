"""`mfbench predict`: energies, forces and stress of frames by a trained potential."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.waiting import waiting

#: Under this name predictions are written beside the labels of a frame.
PREDICTED = "predicted"

#: Endings of the file that is written.
WRITTEN = (".xyz", ".extxyz", "")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("predict", epilog="Example: mfbench predict model frames.xyz --out predicted.xyz")(predict)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a potential (mfbench fit).")],
    file: Annotated[Path, typer.Argument(help="Frames, with whatever labels they have: those are kept.")],
    out: Annotated[Path, typer.Option(help="File to write: the frames with predicted_energy, predicted_forces, ...")],
    fidelity: Annotated[
        str | None, typer.Option(help="Which of the potential's fidelities.", show_default="the highest")
    ] = None,
    stress: Annotated[bool, typer.Option("--stress", help="Predict the stress of periodic frames, too.")] = False,
) -> None:
    """Predict energies (eV) and forces (eV/Å) of frames."""
    from mfbench.mfcore.errors import ConfigError
    from mfbench.mfcore.locks import only_writer_of

    if out.suffix.lower() not in WRITTEN:
        known = ", ".join(ending for ending in WRITTEN if ending)
        raise ConfigError(f"--out {out}: extended XYZ is written; expected a name that ends with {known}.")
    if out.exists() and file.exists() and out.samefile(file):
        raise ConfigError(f"--out {out}: this is the file that is read; give another name.")
    with only_writer_of(out):
        _predict(model, file, out, fidelity, stress)
    say(str(out))


def _predict(model: Path, file: Path, out: Path, fidelity: str | None, stress: bool) -> None:
    import warnings

    import numpy as np

    import mfbench
    from mfbench.mfcore.data.frames import set_labels, write_frames
    from mfbench.mfcore.data.periodic import repeated_volume
    from mfbench.mfcore.data.read import read_structures
    from mfbench.mfcore.errors import DataError, EstimateWarning, ExtrapolationWarning, UntrainedWarning

    with warnings.catch_warnings(record=True) as caught:
        for category in (EstimateWarning, ExtrapolationWarning, UntrainedWarning):
            warnings.simplefilter("always", category)
        potential = mfbench.load(model)
        frames = read_structures(file)
        try:
            with waiting(f"Predicting {len(frames):,} frames"):
                predicted = potential.predict(frames, fidelity, stress=stress)
        except DataError as error:
            place = error.file or file
            raise DataError(error.problem, file=place, frame=error.frame, key=error.key, hint=error.hint) from error
        if stress and any(np.isfinite(repeated_volume(atoms)) for atoms in frames):
            potential.check_stress(fidelity)
    near = potential.extrapolated(frames, fidelity)
    if near is not None:
        more = f" (of {len(near.frames)} frames with such pairs)" if near.frames[1:] else ""
        typer.echo(f"warning: {near.sentence(f' in frame {near.frame}{more}')}.", err=True)
    for unseen in potential.unseen(frames, fidelity):
        more = f" (of {len(unseen.frames)} such frames)" if unseen.frames[1:] else ""
        say(f"warning: {unseen.sentence(f'frame {unseen.frames[0]}{more} has ')}.", err=True)
    for warning in caught:
        say(f"warning: {warning.message}.", err=True)
    forces, stresses = predicted.forces, predicted.stress
    for number, atoms in enumerate(frames):
        set_labels(
            atoms,
            PREDICTED,
            energy=float(predicted.energies[number]),
            forces=None if forces is None else forces[number],
            stress=stresses[number] if stresses is not None and np.isfinite(repeated_volume(atoms)) else None,
        )
    write_frames(out, frames)
