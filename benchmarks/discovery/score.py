"""Scores of a Matbench Discovery prediction file against the WBM test set, by that benchmark's rules.

Sources: Riebesell et al., Nat. Mach. Intell. 7, 836-847 (2025), doi:10.1038/s42256-025-01055-1; the modules `preds` and
`metrics` of the package matbench-discovery 1.3.1; for the denominator of the DAF, `calc_discovery_metrics` of its
repository. The rules:

- The hull is fixed, from DFT: predicted distance = DFT distance + predicted - DFT formation energy.
- A prediction further than 5 eV/atom from DFT is taken as missing, and a missing one as "unstable".
- Energies are rounded to 1 meV/atom before they are compared with the threshold.
- "most_stable_10k" are the unique prototypes with the lowest predicted distances; there, and among the unique
  prototypes, the DAF is relative to the share of stable unique prototypes, from distances that are not rounded.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.reports.numbers import MISSING
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.metrics.discovery import StabilityScores, stability_scores

if TYPE_CHECKING:
    from pandas import DataFrame, Series

HULL = "e_above_hull_mp2020_corrected_ppd_mp"
FORMATION = "e_form_per_atom_mp2020_corrected"
UNIQUE = "unique_prototype"
SUBSETS = ("full", "unique_prototypes", "most_stable_10k")

MAX_ERROR_EV_PER_ATOM = 5.0
DECIMALS = 3
N_MOST_STABLE = 10_000

Published = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class DiscoveryReport:
    """Scores of a prediction file.

    Attributes
    ----------
    subsets
        Scores by the name of the subset.
    column
        The predictions' column.
    threshold_ev_per_atom
        Largest distance to the hull of a stable material.
    exact
        Whether energies were taken as given: not rounded, and none taken as missing for its error.
    n_unrealistic
        How many predictions were taken as missing for their error.
    functions
        Whose functions made the scores.
    """

    subsets: dict[str, StabilityScores]
    column: str
    threshold_ev_per_atom: float
    exact: bool
    n_unrealistic: int
    functions: str


def published_functions() -> tuple[Published | None, str]:
    """Give `stable_metrics` of matbench_discovery if it can be used, and whose functions score then.

    Only of the package as it is on PyPI: its repository's later layout may download data when imported.
    """
    import warnings
    from importlib.metadata import version
    from importlib.util import find_spec

    own = "mfbench.mfcore.metrics.discovery"
    if find_spec("matbench_discovery") is None:
        return None, f"{own} (matbench_discovery is not installed)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from matbench_discovery.metrics import stable_metrics
        return stable_metrics, f"stable_metrics of matbench_discovery {version('matbench-discovery')}"
    except Exception as error:  # it makes folders and sets plotting defaults on import, so anything may fail
        return None, f"{own} (matbench_discovery cannot be imported: {error})"


def score_discovery(
    reference: DataFrame,
    predictions: Series[float],
    *,
    subsets: Sequence[str] = SUBSETS,
    threshold: float = 0.0,
    exact: bool = False,
    published: tuple[Published | None, str] = (None, "mfbench.mfcore.metrics.discovery"),
) -> DiscoveryReport:
    """Score predicted formation energies as a search for stable materials.

    Parameters
    ----------
    reference
        By material id: columns HULL and FORMATION (eV/atom), and UNIQUE for every subset but "full".
    predictions
        Formation energies by material id, eV/atom, its name being the column's; NaN or absent is missing.
    subsets
        Some of SUBSETS.
    threshold
        Largest distance to the hull of a stable material, eV/atom.
    exact
        Leave out the cleaning and the rounding.
    published
        Functions to score with, from `published_functions`.

    Raises
    ------
    DataError
        If a prediction is of an unknown material, there is none, or most are not formation energies in eV/atom.
    """
    unknown = predictions.index.difference(reference.index)
    if len(unknown):
        raise DataError(
            f"{len(unknown)} of {len(predictions)} materials are not in the test set, such as {unknown[0]!r}.",
            hint="Predictions must belong to the summary that they are scored with.",
        )
    aligned = predictions.reindex(reference.index)
    errors = (aligned - reference[FORMATION]).abs()
    _check_unit(aligned, reference[FORMATION], errors)
    energies, n_unrealistic = reference[[HULL, FORMATION]], 0
    if not exact:
        far = errors > MAX_ERROR_EV_PER_ATOM
        aligned, n_unrealistic = aligned.mask(far).round(DECIMALS), int(far.sum())
        energies = energies.round(DECIMALS)
    # in this order, as there: at the threshold another one may round to the other side
    distances = energies[HULL] + aligned - energies[FORMATION]
    function, functions = published
    scores = {}
    for name in subsets:
        chosen, prevalence = distances, None
        if name != "full":
            chosen = distances[reference[UNIQUE]]
            prevalence = float((reference.loc[chosen.index, HULL] <= threshold).mean())
        if name == "most_stable_10k":
            chosen = chosen.sort_values(kind="stable").head(N_MOST_STABLE)  # missing ones are last
        truth = energies.loc[chosen.index, HULL]
        own = stability_scores(truth, chosen, threshold_ref=threshold, prevalence=prevalence)
        scores[name] = _as_published(own, truth, chosen, threshold, prevalence, function)
    return DiscoveryReport(scores, str(predictions.name), threshold, exact, n_unrealistic, functions)


def _check_unit(predicted: Series[float], formation: Series[float], errors: Series[float]) -> None:
    if not predicted.notna().any():
        raise DataError("there is not a single prediction.", key=str(predicted.name))
    if errors.median() <= MAX_ERROR_EV_PER_ATOM:
        return
    in_milli = (predicted / 1000 - formation).abs().median()
    milli = in_milli < 0.5 * formation.abs().median()
    like = "They look like meV/atom: divide them by 1000." if milli else "Are they total energies?"
    raise DataError(
        f"half of the predictions are more than {errors.median():.3g} eV/atom from the DFT formation energies; "
        "expected formation energies in eV/atom.",
        key=str(predicted.name),
        hint=like,
    )


def _as_published(
    own: StabilityScores,
    truth: Series[float],
    predicted: Series[float],
    threshold: float,
    prevalence: float | None,
    function: Published | None,
) -> StabilityScores:
    """Take the scores from `stable_metrics` where it defines them.

    It divides by zero where nothing is rightly called stable or all is stable, refuses infinite energies, and its
    accuracy (1.3.1) divides by the number of predictions instead of materials, which rewards missing ones; there our
    own stay.
    """
    defined = own.true_positives and own.n_stable < own.n and math.isfinite(own.r2)
    if function is None or not defined:
        return own
    theirs = function(truth, predicted, stability_threshold=threshold, fillna=True)
    return replace(
        own,
        f1=float(theirs["F1"]),
        precision=float(theirs["Precision"]),
        recall=float(theirs["Recall"]),
        daf=float(theirs["DAF"]) if prevalence is None else float(theirs["Precision"]) / prevalence,
        mae_ev_per_atom=float(theirs["MAE"]),
        rmse_ev_per_atom=float(theirs["RMSE"]),
        r2=float(theirs["R2"]),
    )


def notes(report: DiscoveryReport) -> list[str]:
    """Say how the scores were made, a sentence a line."""
    rules = (
        "Energies as given: nothing rounded, no prediction taken as missing for its error."
        if report.exact
        else f"As on the leaderboard, energies are rounded to {DECIMALS} decimals and predictions further than "
        f"{MAX_ERROR_EV_PER_ATOM:g} eV/atom from DFT ({report.n_unrealistic} here) count as missing."
    )
    return [
        f"Column {report.column}. Stable: at most {report.threshold_ev_per_atom:g} eV/atom above the DFT hull. "
        "A missing prediction counts as unstable; MAE, RMSE and R² leave it out.",
        rules,
        "DAF relative to the share of stable materials; of the 10k most stable, to that of the unique prototypes.",
        f"Scored with {report.functions}.",
    ]


def write_report(report: DiscoveryReport, format: str) -> str:
    """Write the scores as "md" (with notes), "csv" or "json"; missing numbers are empty, or null."""
    records = [{"subset": name, **asdict(scores)} for name, scores in report.subsets.items()]
    records = [{key: _or_none(value) for key, value in record.items()} for record in records]
    if format == "json":
        kept = {key: value for key, value in asdict(report).items() if key != "subsets"}
        return json.dumps({**kept, "subsets": records}, indent=1, ensure_ascii=False, allow_nan=False)
    if format == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return buffer.getvalue().rstrip("\n")
    return "\n".join([*_markdown(report), "", *notes(report)])


def _markdown(report: DiscoveryReport) -> list[str]:
    counts = {"n": "n", "stable": "n_stable", "missing": "n_missing"}
    ratios = {"F1": "f1", "DAF": "daf", "precision": "precision", "recall": "recall", "accuracy": "accuracy"}
    errors = {"MAE (eV/atom)": "mae_ev_per_atom", "RMSE (eV/atom)": "rmse_ev_per_atom", "R²": "r2"}
    lines = [
        "| " + " | ".join(["subset", *counts, *ratios, *errors]) + " |",
        "|" + "|".join([":--", *["--:"] * (len(counts) + len(ratios) + len(errors))]) + "|",
    ]
    for name, scores in report.subsets.items():
        cells = [name, *(str(getattr(scores, key)) for key in counts.values())]
        for key in (*ratios.values(), *errors.values()):
            value = getattr(scores, key)
            cells.append(MISSING if math.isnan(value) else f"{value:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
