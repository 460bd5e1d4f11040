"""Errors of a potential on labelled test frames; measured in every run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.declarations import BASELINES, ERRORS, RETENTION, Metric, Section
from mfbench.benchmarks.observables.errors.baselines import SCORED, baseline_rows
from mfbench.benchmarks.observables.errors.scores import evaluate
from mfbench.benchmarks.observables.evaluation import Evaluation

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential


UNITS = {
    "energy_mae_mev_per_atom": "meV/atom",
    "energy_detrended_mae_mev_per_atom": "meV/atom",
    "force_mae_mev_per_A": "meV/Å",
}

SLOPES = "slope"
"""Family of the slope of forces, which has a table of its own: it is compared with one, not ranked."""


class Errors(Observable[Plan]):
    """Errors of energies, forces and stress at the target fidelity, and at the lower ones that a potential answers."""

    name = "errors"
    summary = "errors of energies, forces and stress on the test frames; in every run"
    plan_class = Plan
    always = True
    rank = 0
    sources = (
        "mfbench.benchmarks.observables.errors.baselines",
        "mfbench.benchmarks.observables.errors.scores",
        "mfbench.mfcore.metrics.errors",
        "mfbench.mfcore.metrics.softening",
    )
    metrics = (
        Metric("energy_mae_mev_per_atom", "E", "HF energy MAE", "meV/atom", "lower", ERRORS),
        Metric(
            "energy_detrended_mae_mev_per_atom",
            "E (detrended)",
            "HF energy MAE, detrended",
            "meV/atom",
            "lower",
            ERRORS,
        ),
        Metric("force_mae_mev_per_A", "F", "HF force MAE", "meV/Å", "lower", ERRORS),
        Metric("stress_mae_gpa", "stress", "HF stress MAE", "GPa", "lower", ERRORS),
        Metric("energy_rmse_mev_per_atom", "E rmse", "HF energy RMSE", "meV/atom", "lower", "rmse"),
        Metric("force_rmse_mev_per_A", "F rmse", "HF force RMSE", "meV/Å", "lower", "rmse"),
        Metric("force_slope", "F slope", "slope of predicted on true HF forces", "", "", SLOPES),
        Metric("low_energy_mae_mev_per_atom", "LF E", "LF energy MAE", "meV/atom", "lower", RETENTION),
        Metric("low_force_mae_mev_per_A", "LF F", "LF force MAE", "meV/Å", "lower", RETENTION),
        *(
            Metric(f"{prefix}_{name}", name, f"{name} of the {title}", UNITS[name], "lower", "baseline")
            for prefix, title in BASELINES.items()
            for name in SCORED
        ),
    )
    sections: ClassVar[tuple[Section, ...]] = (
        Section(
            SLOPES,
            "slope of forces",
            "F slope: of predicted on true force components, by least squares through the origin; below 1 a potential "
            "is too soft.",
        ),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        # A metric's mean over one group (trajectory block, molecule); the row's value is the mean weighted by `weight`.
        "blocks": {"split": "str", "metric": "str", "group": "str", "value": "float64", "weight": "float64"},
        # Total energies; forces are flattened, empty where the frame has no label.
        "predictions": {
            "split": "str",
            "fidelity": "str",
            "structure_id": "str",
            "group": "str",
            "n_atoms": "int64",
            "energy_ref_ev": "float64",
            "energy_pred_ev": "float64",
            "force_ref": "object",
            "force_pred": "object",
        },
    }

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: Plan, seed: int, workdir: Path
    ) -> Evaluation:
        """Score the test frames, see :func:`mfbench.benchmarks.observables.errors.scores.evaluate`."""
        found = evaluate(potential, split.tests, task.fidelities)
        return Evaluation([*found.rows, *baseline_rows(split.training, split.tests)], found.details)
