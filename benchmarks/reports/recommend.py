"""Which arm to use, read from stored rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.rows import arms_of, cells, counts_of, runs_of
from mfbench.mfcore.metrics.recommendation import THRESHOLD, Recommendation, recommend

if TYPE_CHECKING:
    from pandas import DataFrame

CRITERIA = ("force_mae_mev_per_A", "energy_mae_mev_per_atom")
"""What arms are compared by: forces where the HF test frames have them, else energies."""

SPLITS = ("in_coverage", "out_of_coverage")


def recommendation(
    rows: DataFrame,
    metric: str | None = None,
    split: str | None = None,
    threshold: float = THRESHOLD,
    self_contained: bool = False,
) -> dict[str, Recommendation]:
    """Name the arm to use in each regime and HF set size, or say why none can be named.

    The ceiling is no candidate: it is given labels that the others do not have.

    Parameters
    ----------
    rows
        Long rows, as `mfbench run` stores them.
    metric
        Smaller is better; default: the first of `CRITERIA` that was measured.
    split
        Test split; default: out of coverage where there is one, which is the harder half.
    threshold
        Probability of being best below which no arm is named.
    self_contained
        Leave out arms that need LF calculations to predict, which dynamics can seldom afford.

    Returns
    -------
    dict
        By the table's title.
    """
    found = {}
    for cell in cells(rows):
        chosen = metric or default_metric(cell.rows)
        where = split or default_split(cell.rows)
        arms = [arm for arm in arms_of(cell.rows) if not traits(arm).is_ceiling]
        arms = [arm for arm in arms if traits(arm).self_contained or not self_contained]
        found[cell.title] = recommend(
            {arm: runs_of(cell.rows, arm, where, chosen) for arm in arms},
            n_failed={arm: counts_of(cell.rows, arm)[1] for arm in arms},
            threshold=threshold,
        )
    return found


def advice(rows: DataFrame) -> dict[str, str]:
    """Say in words what `recommendation` found, and by which metric, for each table's title."""
    by = {cell.title: f"{default_metric(cell.rows)}, {default_split(cell.rows)}" for cell in cells(rows)}
    return {title: f"By {by[title]}: {reason}" for title, reason in reasons(rows, recommendation(rows)).items()}


def reasons(rows: DataFrame, found: Mapping[str, Recommendation]) -> dict[str, str]:
    """Give the reason of each recommendation, and that of the one among self-contained arms if it is another.

    Parameters
    ----------
    rows
        Long rows.
    found
        What :func:`recommendation` says of them.
    """
    alone = recommendation(rows, self_contained=True)
    made = {}
    for title, first in found.items():
        second = alone[title]
        made[title] = first.reason
        if not all(traits(arm).self_contained for arm in first.probabilities) and len(second.probabilities) > 1:
            made[title] += f" Of the arms that need no LF calculation to predict, {second.reason}"
    return made


def default_metric(rows: DataFrame) -> str:
    """Give the metric that arms are compared by if none is named."""
    measured = set(rows["metric"])
    return next((name for name in CRITERIA if name in measured), CRITERIA[-1])


def default_split(rows: DataFrame) -> str:
    """Give the test split that arms are compared on if none is named: the hardest there is."""
    measured = [name for name in SPLITS if name in set(rows["split"])]
    return measured[-1] if measured else next((str(s) for s in rows["split"] if s), SPLITS[0])
