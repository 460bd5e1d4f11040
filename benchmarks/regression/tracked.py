"""Numbers of a run that are tracked: its errors, its stability in molecular dynamics, and its counted costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Tracked:
    """A metric that is compared with the baseline.

    Attributes
    ----------
    metric
        Its name, which has its unit.
    group
        "accuracy" and "stability" are judged against the spread over seeds, "cost" is counted and exact.
    better
        Which direction is an improvement.
    floor
        Relative change that counts as none, whatever the spread.
    """

    metric: str
    group: Literal["accuracy", "stability", "cost"]
    better: Literal["lower", "higher"] = "lower"
    floor: float = 0.01


TRACKED = (
    Tracked("force_mae_mev_per_A", "accuracy"),
    Tracked("energy_mae_mev_per_atom", "accuracy"),
    Tracked("energy_detrended_mae_mev_per_atom", "accuracy"),
    # A trajectory more or less changes these by steps: 5 % of a survival time is one of twenty replicas.
    Tracked("md_rmst_ps_", "stability", better="higher", floor=0.05),
    Tracked("nve_drift_mev_per_atom_per_ps", "stability", floor=0.05),
    Tracked("train_atom_gradients", "cost"),
    Tracked("inference_evaluations", "cost"),
    Tracked("label_cost_cpu_s", "cost"),
)
"""Wall and CPU times of runs are left out: on another or a busy machine they say nothing. The time per atom is tracked
by `mfbench.benchmarks.regression.speed`, as a ratio to a reference kernel timed beside it."""

COST_COLUMNS = tuple(entry.metric for entry in TRACKED if entry.group == "cost")


def tracked(metric: str) -> Tracked | None:
    """How a metric is tracked, None if it is not; a name that ends in "_" stands for all that begin with it."""
    for entry in TRACKED:
        if metric == entry.metric or (entry.metric.endswith("_") and metric.startswith(entry.metric)):
            return entry
    return None
