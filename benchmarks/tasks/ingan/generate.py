"""Compute the labels of ingan again, or go on with them: PBE and r2SCAN by GPAW.

    mfbench data generate ingan --out FOLDER [--workers 2]
    python -m benchmarks.tasks.ingan.generate convert FOLDER [--into TASK_FOLDER]

The first labels what is not labelled yet of the first round's geometries (see sample.py) and of those in the data file;
the second adds such labels to the data file and dataset.yml.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from benchmarks.tasks.gpaw.convert import convert, stored_labels
from benchmarks.tasks.gpaw.labels import LEVELS, Progress, compute, read_labels
from benchmarks.tasks.ingan.sample import round_one
from mfcore.data.frames import read_frames
from mfcore.data.splits import id_of

__all__ = ["LEVELS", "generate", "geometries"]

NAME, TITLE = "ingan", "InxGa1-xN at PBE and r2SCAN"
HERE = Path(__file__).parent


def geometries(folder: Path = HERE) -> list[Atoms]:
    """Return all frames to label: those of the first round, then the others that the data file has."""
    first = round_one()
    known = {id_of(atoms) for atoms in first}
    path = folder / "data" / f"{NAME}.extxyz"
    later = [atoms for atoms in read_frames(path) if id_of(atoms) not in known] if path.exists() else []
    for atoms in later:
        atoms.info["levels"] = "+".join(level for level in LEVELS if f"{level}_energy" in atoms.info)
    return [*first, *later]


def generate(
    out: Path, levels: Sequence[str], workers: int = 1, limit: int | None = None, progress: Progress | None = None
) -> Path:
    """Compute the labels that neither `out` nor the data file has; see :func:`benchmarks.tasks.gpaw.labels.compute`."""
    return compute(geometries(), out, levels, workers, limit, progress, stored_labels(HERE, NAME))


def main() -> None:
    """Convert raw labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    made = verbs.add_parser("convert")
    made.add_argument("labels", type=Path)
    made.add_argument("--into", type=Path, default=HERE)
    arguments = parser.parse_args()
    labels = read_labels(arguments.labels) | stored_labels(arguments.into, NAME)
    convert(NAME, TITLE, geometries(arguments.into), labels, arguments.into)


if __name__ == "__main__":
    main()
