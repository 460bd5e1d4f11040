"""Stability of phases: energies of formation, and the classification as stable by the distance to the hull."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from mfbench.benchmarks.observables.alloy import RelaxationPlan
from mfbench.benchmarks.observables.base import Observable
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.hull.measurement import hull
from mfbench.benchmarks.observables.phases import phases_of

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential


class HullPlan(RelaxationPlan):
    """Relaxation of the phases and the distances that count as stable."""

    thresholds_ev_per_atom: tuple[float, ...] = Field(
        (0.04, 0.03, 0.05),
        min_length=1,
        description="Distances to the hull up to which a phase counts as stable, eV/atom; the first is the main.",
    )

    @field_validator("thresholds_ev_per_atom")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < 0 or not np.isfinite(value).all() or len(set(value)) < len(value):
            raise ValueError("expected different distances, none of them negative")
        return value


class Hull(Observable[HullPlan]):
    """Energies of formation of phases, and their classification as stable or not."""

    name = "hull"
    summary = "stable or not: phases of a chemical system by their distance to the hull, after relaxation"
    plan_class = HullPlan
    rank = 40
    sources = (
        "mfbench.benchmarks.observables.alloy",
        "mfbench.benchmarks.observables.hull.measurement",
        "mfbench.benchmarks.observables.phases",
        "mfbench.mfcore.metrics.discovery",
        "mfbench.mfcore.metrics.phase_diagram",
    )
    metrics = (
        Metric("hull_threshold_mev_per_atom", "limit", "distance of a stable one", "meV/atom", "", "hull"),
        Metric("hull_f1", "F1", "F1 of stability", "", "higher", "hull"),
        Metric("hull_precision", "precision", "precision of stability", "", "higher", "hull"),
        Metric("hull_recall", "recall", "recall of stability", "", "higher", "hull"),
        Metric("hull_daf", "DAF", "discovery acceleration factor", "", "higher", "hull"),
        Metric("hull_mae_mev_per_atom", "MAE", "hull distance MAE", "meV/atom", "lower", "hull"),
        Metric("hull_n_missing", "missing", "missing predictions", "structures", "lower", "hull"),
        Metric("hull_unrelaxed_f1", "unrelaxed F1", "F1 of stability, unrelaxed", "", "higher", "hull"),
        Metric(
            "hull_unrelaxed_mae_mev_per_atom",
            title="unrelaxed MAE",
            label="hull distance MAE, unrelaxed",
            unit="meV/atom",
            better="lower",
            family="hull",
        ),
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
            "x": "float64",  # share of the second of two components; NaN where there are others
            "distance_ref_ev_per_atom": "float64",
            "distance_pred_ev_per_atom": "float64",
        },
        # Of all phases, components included.
        "phases": {
            "structure_id": "str",
            "formula": "str",
            "distance_ref_ev_per_atom": "float64",
            "formation_ref_ev_per_atom": "float64",
            "formation_pred_ev_per_atom": "float64",
            "formation_unrelaxed_ev_per_atom": "float64",
        },
    }
    sections = (
        Section(
            "hull",
            "stability classification",
            "Stable: within the limit, or the distance in the head of the column, of the HF reference's hull. A "
            "missing prediction counts as unstable. MAE: of the distances, which is that of the energies of formation; "
            "unrelaxed: at the stored geometries.",
        ),
    )
    figures: ClassVar[Mapping[str, str]] = {"hull": "mfbench.benchmarks.observables.hull.figure"}

    def identity(self, task: Task, plan: HullPlan) -> dict[str, Any]:
        """Check that the task has phases; its frames are in the hashes of its data."""
        phases_of(task, self.name)
        return {}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: HullPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Relax and classify, see :func:`mfbench.benchmarks.observables.hull.measurement.hull`."""
        return hull(potential, task, plan, plan.thresholds_ev_per_atom, split)
