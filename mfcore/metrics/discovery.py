"""Scores of a stability classification: which materials lie on or below the convex hull.

A material is stable if its distance to the hull is at or below a threshold (eV/atom), by the reference and by the
prediction. The definitions are those of Matbench Discovery (Riebesell et al., Nat. Mach. Intell. 7, 836-847 (2025),
doi:10.1038/s42256-025-01055-1, arXiv:2308.14920; functions `classify_stable` and `stable_metrics` of the package
matbench-discovery), so that a score here and a score on its leaderboard mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfbench.mfcore.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StabilityScores:
    """A stability classification in numbers; a ratio with an empty denominator is NaN.

    Attributes
    ----------
    f1
        2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall. A model that finds none of the stable
        materials has 0 (`stable_metrics` gives NaN there, which a mean over models would leave out).
    precision
        TP / (TP + FP), the discovery rate: share of the materials called stable that are.
    recall
        TP / (TP + FN): share of the stable materials that are called so; the true positive rate. The false negative
        rate is what it lacks to 1.
    daf
        Discovery acceleration factor, precision / prevalence: how many times more often a material called stable is
        stable than one drawn at random.
    accuracy
        (TP + TN) / n. A missing prediction counts among n.
    false_positive_rate
        FP / (FP + TN). The true negative rate is what it lacks to 1.
    mae_ev_per_atom, rmse_ev_per_atom, r2
        Errors of the predicted distances, over the materials that have a prediction. R² is NaN below two of them or
        where their references are all equal.
    n, n_stable, n_missing
        How many materials, how many of them stable by the reference, how many without a prediction.
    true_positives, false_positives, false_negatives, true_negatives
        Counts; they sum to `n`.
    """

    f1: float
    precision: float
    recall: float
    daf: float
    accuracy: float
    false_positive_rate: float
    mae_ev_per_atom: float
    rmse_ev_per_atom: float
    r2: float
    n: int
    n_stable: int
    n_missing: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def stability_scores(
    distance_ref: ArrayLike,
    distance_pred: ArrayLike,
    *,
    threshold_ref: float = 0.0,
    threshold_pred: float | None = None,
    prevalence: float | None = None,
) -> StabilityScores:
    """Score predicted distances to the hull as a classifier of stability.

    Parameters
    ----------
    distance_ref, distance_pred
        Signed distances to the hull, shape (n,), eV/atom; negative below it. A NaN in the prediction is a missing
        one: it counts as "unstable", as in Matbench Discovery, so that leaving out hard cases gains nothing.
    threshold_ref, threshold_pred
        Largest distance of a stable material, eV/atom; for predictions the same as for the reference by default.
    prevalence
        Share of stable materials that `daf` is relative to, if not the one among these materials.

    Raises
    ------
    ValueError
        If the shapes differ or a threshold is not finite.
    DataError
        If there is no material, or a reference is missing or infinite.
    """
    reference, predicted = np.asarray(distance_ref, dtype=np.float64), np.asarray(distance_pred, dtype=np.float64)
    limit = threshold_ref if threshold_pred is None else threshold_pred
    if reference.ndim != 1 or reference.shape != predicted.shape:
        raise ValueError(
            "distances to the hull: expected two arrays of one shape (materials,), "
            f"got {reference.shape} and {predicted.shape}."
        )
    if not np.isfinite([threshold_ref, limit]).all():
        raise ValueError("threshold: expected a finite distance to the hull in eV/atom.")
    if not len(reference):
        raise DataError("no material has a reference distance to the hull, so there is nothing to score.")
    bad = np.flatnonzero(~np.isfinite(reference))
    if len(bad):
        raise DataError(
            f"the reference distance to the hull of material {bad[0]} (and {len(bad) - 1} others) is not a number.",
            hint="Leave out materials without a reference.",
        )
    stable, called = reference <= threshold_ref, predicted <= limit  # a comparison with NaN is false: unstable
    hits, false_alarms = int((stable & called).sum()), int((~stable & called).sum())
    n, n_stable = len(reference), int(stable.sum())
    misses, n_unstable = n_stable - hits, n - n_stable
    precision = _ratio(hits, hits + false_alarms)
    given = ~np.isnan(predicted)
    mae, rmse, r2 = _regression(reference[given], predicted[given])
    return StabilityScores(
        f1=_ratio(2 * hits, 2 * hits + false_alarms + misses),
        precision=precision,
        recall=_ratio(hits, n_stable),
        daf=_ratio(precision, n_stable / n if prevalence is None else prevalence),
        accuracy=(hits + n_unstable - false_alarms) / n,
        false_positive_rate=_ratio(false_alarms, n_unstable),
        mae_ev_per_atom=mae,
        rmse_ev_per_atom=rmse,
        r2=r2,
        n=n,
        n_stable=n_stable,
        n_missing=n - int(given.sum()),
        true_positives=hits,
        false_positives=false_alarms,
        false_negatives=misses,
        true_negatives=n_unstable - false_alarms,
    )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def _regression(reference: Array, predicted: Array) -> tuple[float, float, float]:
    """Give MAE, RMSE and the coefficient of determination; an infinite prediction makes them infinite."""
    if not len(reference):
        return float("nan"), float("nan"), float("nan")
    with np.errstate(over="ignore"):  # an exploded model earns an infinite error
        errors = predicted - reference
        squares = float(np.square(errors).sum())
    spread = float(np.square(reference - reference.mean()).sum())
    r2 = 1.0 - squares / spread if len(reference) > 1 and np.ptp(reference) > 0 else float("nan")
    return float(np.abs(errors).mean()), float(np.sqrt(squares / len(reference))), r2
