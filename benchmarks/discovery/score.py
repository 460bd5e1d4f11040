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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.discovery.published import Published, stable_metrics
from mfbench.benchmarks.reports.numbers import MISSING
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.metrics.discovery import StabilityScores, stability_scores
from mfbench.mfcore.settings_model import shortened
from mfbench.mfcore.text import markdown

if TYPE_CHECKING:
    from pandas import DataFrame, Series

HULL = "e_above_hull_mp2020_corrected_ppd_mp"
FORMATION = "e_form_per_atom_mp2020_corrected"
UNIQUE = "unique_prototype"
SUBSETS = ("full", "unique_prototypes", "most_stable_10k")

MAX_ERROR_EV_PER_ATOM = 5.0
DECIMALS = 3
N_MOST_STABLE = 10_000


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
    n_dropped
        Materials that were left out since one of the files lacks them: predictions, and materials of the test set.
    """

    subsets: dict[str, StabilityScores]
    column: str
    threshold_ev_per_atom: float
    exact: bool
    n_unrealistic: int
    functions: str
    n_dropped: tuple[int, int] = (0, 0)


def score_discovery(
    reference: DataFrame,
    predictions: Series[float],
    *,
    subsets: Sequence[str] = SUBSETS,
    threshold: float = 0.0,
    exact: bool = False,
    intersect: bool = False,
    published: tuple[Published, str] | None = None,
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
    intersect
        Leave out what only one of the two has: predictions of unknown materials, and materials without a row among the
        predictions.
    published
        Function to score with and its name; by default that of matbench_discovery.

    Raises
    ------
    DataError
        If a prediction is of an unknown material (without `intersect`), there is none, or most are not formation
        energies in eV/atom.
    ConfigError
        If matbench_discovery cannot be used.
    """
    unknown = predictions.index.difference(reference.index)
    dropped = (0, 0)
    if intersect:
        common = reference.index.intersection(predictions.index)
        if not len(common):
            raise DataError("no material is in both files.", hint="Are they of the same test set?")
        dropped = len(unknown), len(reference) - len(common)
        reference, predictions = reference.loc[common], predictions.loc[common]
    elif len(unknown):
        raise DataError(
            f"{len(unknown)} of {len(predictions)} materials are not in the test set, such as {shortened(unknown[0])}.",
            hint="Predictions must belong to the summary that they are scored with; --intersect scores what both have.",
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
    function, functions = published or stable_metrics()
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
    return DiscoveryReport(scores, str(predictions.name), threshold, exact, n_unrealistic, functions, dropped)


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
    function: Published,
) -> StabilityScores:
    """Take the scores from `stable_metrics` where it defines them.

    It divides by zero where nothing is rightly called stable or all is stable, refuses infinite energies, and its
    accuracy (1.3.1) divides by the number of predictions instead of materials, which rewards missing ones; there our
    own stay.
    """
    defined = own.true_positives and own.n_stable < own.n and math.isfinite(own.r2)
    if not defined:
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
    unknown, absent = report.n_dropped
    left_out = [
        f"Only materials of both files: {unknown} predictions of materials that the summary lacks and {absent} "
        "materials without a row among the predictions were left out, so that no score is one of the leaderboard."
    ]
    return [
        *(left_out if unknown or absent else []),
        f"Column {markdown(report.column)}. Stable: at most {report.threshold_ev_per_atom:g} eV/atom above the DFT "
        "hull. A missing prediction counts as unstable; MAE, RMSE and R² leave it out.",
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
