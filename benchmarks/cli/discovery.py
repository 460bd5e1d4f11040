"""`mfbench score-discovery`: a Matbench Discovery prediction file, scored by that benchmark's rules."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.waiting import waiting


class Subset(StrEnum):
    """Which materials of the test set are scored."""

    full = "full"
    unique_prototypes = "unique_prototypes"
    most_stable_10k = "most_stable_10k"
    all = "all"


class Format(StrEnum):
    """How the scores are written."""

    md = "md"
    json = "json"
    csv = "csv"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(
        "score-discovery",
        epilog="Example: mfbench score-discovery preds.csv.gz --wbm wbm-summary.csv.gz\n\n"
        "Of a subset's summary: mfbench score-discovery preds.csv.gz --wbm my-subset.csv --intersect\n\n"
        "For a program, one part only: mfbench score-discovery preds.csv.gz --wbm wbm-summary.csv.gz "
        "--column e_form_per_atom_mace --subset unique_prototypes --format json",
    )(score_discovery)


def score_discovery(
    predictions: Annotated[
        Path,
        typer.Argument(help="Predicted formation energies in eV/atom (.csv, .json, also compressed, or .parquet)."),
    ],
    wbm: Annotated[
        Path, typer.Option(help="Summary of the WBM test set, from figshare.com/articles/dataset/22715158.")
    ],
    column: Annotated[
        str | None, typer.Option(help="Column of the predictions.", show_default="the only e_form_per_atom_MODEL")
    ] = None,
    id: Annotated[str, typer.Option(help="Column of the material ids in the predictions.")] = "material_id",
    subset: Annotated[Subset, typer.Option(help="Part of the test set to score.")] = Subset.all,
    threshold: Annotated[float, typer.Option(help="Largest distance to the hull of a stable material, eV/atom.")] = 0.0,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Do not round to 1 meV/atom, and keep predictions over 5 eV/atom off."),
    ] = False,
    intersect: Annotated[
        bool,
        typer.Option("--intersect", help="Score only materials that both files have, and say how many are left out."),
    ] = False,
    format: Annotated[Format, typer.Option(help="How to write the scores.")] = Format.md,
) -> None:
    """Score a Matbench Discovery prediction file: F1, DAF and errors for each part of its WBM test set.

    By that benchmark's rules, a missing prediction counts as unstable. Scores are made by matbench_discovery's own
    function (pip install 'mfbench[discovery]'). Files are read up to 512 MB, also where they are compressed.
    """
    import math

    from mfbench.benchmarks.discovery.files import read_predictions, read_summary
    from mfbench.benchmarks.discovery.published import stable_metrics
    from mfbench.benchmarks.discovery.score import SUBSETS, write_report
    from mfbench.benchmarks.discovery.score import score_discovery as score
    from mfbench.mfcore.errors import ConfigError, DataError

    if not math.isfinite(threshold):
        raise ConfigError("--threshold: expected a finite distance to the hull in eV/atom.")
    subsets = SUBSETS if subset is Subset.all else (subset.value,)
    with waiting("Reading predictions and summary") as told:
        reference = read_summary(wbm, unique=subsets != ("full",))
        energies = read_predictions(predictions, column=column, id_column=id)
        told("Importing matbench_discovery")
        published = stable_metrics()
    try:
        report = score(
            reference,
            energies,
            subsets=subsets,
            threshold=threshold,
            exact=exact,
            intersect=intersect,
            published=published,
        )
    except DataError as error:
        raise DataError(error.problem, file=predictions, key=error.key, hint=error.hint) from error
    say(write_report(report, format.value))
