"""Classification of an alloy's orderings as stable or not, by their distance to the hull."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import Field, field_validator

from mfbench.benchmarks.observables.alloy import MEV, RelaxationPlan, alloy_of, metric_rows, relaxed_energies_ev
from mfbench.benchmarks.observables.base import Observable
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.splits import id_of

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

HULL = "hull"
"""Value of the column `split` in rows on the classification."""


class HullPlan(RelaxationPlan):
    """Relaxation of an alloy's orderings and the distances that count as stable."""

    thresholds_ev_per_atom: tuple[float, ...] = Field(
        (0.04, 0.03, 0.05),
        min_length=1,
        description="Distances to the hull up to which an ordering counts as stable, eV/atom; the first is the main.",
    )

    @field_validator("thresholds_ev_per_atom")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < 0 or not np.isfinite(value).all() or len(set(value)) < len(value):
            raise ValueError("expected different distances, none of them negative")
        return value


class Hull(Observable[HullPlan]):
    """Stability classification of an alloy's orderings."""

    name = "hull"
    summary = "stable or not: an alloy's orderings by their distance to the hull, after relaxation"
    plan_class = HullPlan
    rank = 40
    sources = (
        "mfbench.benchmarks.observables.alloy",
        "mfbench.mfcore.metrics.discovery",
        "mfbench.mfcore.metrics.mixing",
    )
    metrics = (
        Metric("hull_threshold_mev_per_atom", "limit", "distance of a stable one", "meV/atom", "", "hull"),
        Metric("hull_f1", "F1", "F1 of stability", "", "higher", "hull"),
        Metric("hull_precision", "precision", "precision of stability", "", "higher", "hull"),
        Metric("hull_recall", "recall", "recall of stability", "", "higher", "hull"),
        Metric("hull_daf", "DAF", "discovery acceleration factor", "", "higher", "hull"),
        Metric("hull_n_missing", "missing", "missing predictions", "structures", "lower", "hull"),
        # At thresholds beside the main one, F1 says enough for a table.
        Metric(
            "hull_f1_{distance}mev_per_atom",
            title="F1 {distance} meV",
            label="F1 of stability within {distance} meV/atom",
            unit="",
            better="higher",
            family="hull",
        ),
        *(
            Metric(
                f"hull_{name}_{{distance}}mev_per_atom",
                title=f"{title} {{distance}} meV",
                label=f"{label} within {{distance}} meV/atom",
                unit="",
                better="higher",
                family="hull_more",
            )
            for name, title, label in (
                ("precision", "precision", "precision of stability"),
                ("recall", "recall", "recall of stability"),
                ("daf", "DAF", "discovery acceleration factor"),
            )
        ),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "hull": {
            "structure_id": "str",
            "x": "float64",
            "distance_ref_ev_per_atom": "float64",
            "distance_pred_ev_per_atom": "float64",
        },
    }
    sections = (
        Section(
            "hull",
            "stability classification",
            "Stable: within the limit, or the distance in the head of the column, of the HF reference's hull. A "
            "missing prediction counts as unstable.",
        ),
    )

    def identity(self, task: Task, plan: HullPlan) -> dict[str, Any]:
        """Check that the task is an alloy; its frames are in the hashes of its data."""
        alloy_of(task, self.name)
        return {}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: HullPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Relax and classify, see :func:`hull`."""
        return hull(potential, task, plan)


def hull(potential: Potential, task: Task, plan: HullPlan) -> Evaluation:
    """Classify the orderings of an alloy as stable or not.

    The distance to the hull is taken from the *reference's* hull, of all its orderings and end members, for the
    prediction as well: with the potential's own hull, one ordering that it makes too stable would move the others, too.
    So does Matbench Discovery (predicted formation energies against the DFT hull). End members have distance zero by
    construction and are not scored. Energies are mixing
    energies, see :func:`mfbench.benchmarks.observables.mixing.observable.mixing`.

    Returns
    -------
    Evaluation
        Rows with split "hull" at the main threshold: itself as `hull_threshold_mev_per_atom`, `hull_f1`,
        `hull_precision`, `hull_recall`, `hull_daf` and `hull_n_missing`; at the others the same names ending in
        `_30mev_per_atom` and the like. An ordering without a prediction counts as unstable. A value that does not exist
        has no row, and the log says why. Detail "hull". Nothing for a potential that needs calculations of a lower
        level: it is not relaxed.

    Raises
    ------
    ConfigError
        If the task has no labelled orderings.
    """
    from mfbench.mfcore.metrics.mixing import end_members, mixing_energies_ev_per_atom

    if potential.requires_low_labels:
        return Evaluation([])
    alloy = alloy_of(task, HULL)
    frames = list(alloy.orderings())
    x = np.array([alloy.composition(a) for a in frames])
    sizes = [len(a) for a in frames]
    reference = mixing_energies_ev_per_atom([energy_of(a, task.high) for a in frames], sizes, x)
    energies = relaxed_energies_ev(potential, frames, task.high, plan)
    predicted = mixing_energies_ev_per_atom(energies, sizes, x)
    inner = ~np.logical_or(*end_members(x))
    rows, lines = _hull(x, reference, predicted, inner, frames, plan)
    return Evaluation(rows, {"hull": lines})


def _hull(
    x: NDArray[np.float64],
    reference: NDArray[np.float64],
    predicted: NDArray[np.float64],
    inner: NDArray[np.bool_],
    frames: Sequence[Atoms],
    plan: HullPlan,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the classification at each threshold, and the distances of each ordering (eV/atom)."""
    from mfbench.mfcore.metrics.discovery import stability_scores
    from mfbench.mfcore.metrics.mixing import hull_energies_ev_per_atom

    hull = hull_energies_ev_per_atom(x, reference)
    true, found = (reference - hull)[inner], (predicted - hull)[inner]
    rows = []
    for place, threshold in enumerate(plan.thresholds_ev_per_atom):
        ending = f"_{MEV * threshold:g}mev_per_atom" if place else ""
        scores = stability_scores(true, found, threshold_ref=threshold)
        values: dict[str, float | None] = dict.fromkeys(("f1", "precision", "recall", "daf"))
        if 0 < scores.n_stable < scores.n:
            values = {name: getattr(scores, name) for name in values}
        else:
            _log.warning(
                "hull: at %g eV/atom %s of %d orderings are stable, so that there is nothing to classify.",
                threshold,
                "all" if scores.n_stable else "none",
                scores.n,
            )
        metrics = [(f"hull_{name}{ending}", "", value) for name, value in values.items()]
        if not place:
            metrics.append(("hull_threshold_mev_per_atom", "meV/atom", MEV * threshold))
            metrics.append(("hull_n_missing", "structures", float(scores.n_missing)))
        rows += metric_rows(HULL, metrics, scores.n)
    lines = [
        {
            "structure_id": id_of(atoms),
            "x": share,
            "distance_ref_ev_per_atom": float(a),
            "distance_pred_ev_per_atom": float(b),
        }
        for atoms, share, a, b in zip(
            [a for a, kept in zip(frames, inner, strict=True) if kept], x[inner].tolist(), true, found, strict=True
        )
    ]
    return rows, lines
