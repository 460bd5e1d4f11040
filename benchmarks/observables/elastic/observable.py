"""Bulk and shear moduli of crystals, by finite strains, beside those of a reference."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from mfbench.benchmarks.observables.alloy import metric_rows
from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.elastic.crystals import crystals_of
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.mfcore.data.splits import id_of

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

ELASTIC = "elastic"
"""Value of the column `split` in rows on moduli."""


class ElasticPlan(Plan):
    """Relaxation of the crystals, and the strains that are put on them."""

    fmax_ev_per_a: float = Field(0.01, gt=0, description="Relaxed when no force is larger, eV/Å.")
    max_steps: int = Field(300, ge=1, description="Steps after which a relaxation has failed.")
    strains: tuple[float, ...] = Field(
        (-0.01, -0.005, 0.005, 0.01),
        min_length=2,
        description="Entries of the strain tensor, one at a time; of both signs.",
    )
    most: int | None = Field(None, ge=1, description="Measure the first so many crystals only.")

    @field_validator("strains")
    @classmethod
    def _both_signs(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not (min(value) < 0 < max(value) and max(map(abs, value)) <= 0.05 and len(set(value)) == len(value)):
            raise ValueError("expected different strains of both signs, none beyond 0.05")
        return value


class Elastic(Observable[ElasticPlan]):
    """Bulk and shear moduli of crystals."""

    name = "elastic"
    summary = "bulk and shear moduli of crystals (Voigt-Reuss-Hill) by finite strains"
    plan_class = ElasticPlan
    rank = 50
    sources = (
        "mfbench.benchmarks.observables.alloy",
        "mfbench.benchmarks.observables.elastic.crystals",
        "mfbench.mfcore.metrics.elasticity",
        "mfbench.mfcore.potentials.elasticity",
    )
    metrics = (
        Metric("elastic_bulk_mae_gpa", "K MAE", "bulk modulus MAE (VRH)", "GPa", "lower", "elastic"),
        Metric("elastic_shear_mae_gpa", "G MAE", "shear modulus MAE (VRH)", "GPa", "lower", "elastic"),
        Metric("elastic_n_failed", "lost", "crystals without moduli", "structures", "lower", "elastic"),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "elastic": {
            "structure_id": "str",
            "bulk_ref_gpa": "float64",
            "bulk_pred_gpa": "float64",
            "shear_ref_gpa": "float64",
            "shear_pred_gpa": "float64",
            "problem": "str",
        },
    }
    sections = (
        Section(
            "elastic",
            "elastic moduli",
            "K, G: bulk and shear modulus, Voigt-Reuss-Hill averages, of the crystal relaxed with the arm's potential; "
            "lost: crystals whose relaxation failed or that some strain does not cost energy, left out of the errors.",
        ),
    )

    def identity(self, task: Task, plan: ElasticPlan) -> dict[str, Any]:
        """Check that the task has crystals; their moduli decide the numbers, too."""
        return {
            "references": [
                [id_of(c.atoms), c.bulk_modulus_gpa, c.shear_modulus_gpa] for c in crystals_of(task, self.name)
            ]
        }

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: ElasticPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Relax, strain and compare, see :func:`elastic`."""
        return elastic(potential, task, plan)


def elastic(potential: Potential, task: Task, plan: ElasticPlan) -> Evaluation:
    """Measure bulk and shear moduli of the crystals of a task.

    Returns
    -------
    Evaluation
        Rows with split "elastic": `elastic_bulk_mae_gpa` and `elastic_shear_mae_gpa` (n: crystals that have moduli)
        and `elastic_n_failed` (n: all). Detail "elastic". Nothing for a potential that needs calculations of a lower
        level: it is not relaxed.
    """
    from mfbench.mfcore.potentials.elasticity import moduli_of

    if potential.requires_low_labels:
        return Evaluation([])
    crystals = crystals_of(task, ELASTIC)[: plan.most]
    calculator = potential.calculator(task.high)
    lines, errors = [], []
    for crystal in crystals:
        found, problem = moduli_of(
            crystal.atoms, calculator, plan.strains, fmax=plan.fmax_ev_per_a, max_steps=plan.max_steps
        )
        bulk = shear = float("nan")
        if found is not None:
            bulk, shear = found.bulk_vrh_gpa, found.shear_vrh_gpa
            errors.append((bulk - crystal.bulk_modulus_gpa, shear - crystal.shear_modulus_gpa))
        lines.append(
            {
                "structure_id": id_of(crystal.atoms),
                "bulk_ref_gpa": float(crystal.bulk_modulus_gpa),
                "bulk_pred_gpa": bulk,
                "shear_ref_gpa": float(crystal.shear_modulus_gpa),
                "shear_pred_gpa": shear,
                "problem": problem,
            }
        )
    failed = len(crystals) - len(errors)
    if failed:
        first = next(line for line in lines if line["problem"])
        _log.warning("elastic: %d of %d failed; %s: %s.", failed, len(crystals), *_words(first))
    rows = metric_rows(ELASTIC, [("elastic_n_failed", "structures", float(failed))], len(crystals))
    if errors:
        bulk_mae, shear_mae = np.abs(np.array(errors)).mean(axis=0).tolist()
        scores = [("elastic_bulk_mae_gpa", "GPa", bulk_mae), ("elastic_shear_mae_gpa", "GPa", shear_mae)]
        rows += metric_rows(ELASTIC, scores, len(errors))
    return Evaluation(rows, {"elastic": lines})


def _words(line: Mapping[str, Any]) -> tuple[str, str]:
    return str(line["structure_id"]), str(line["problem"])
