"""Energies of conformers relative to the relaxed one of each molecule, beside coupled cluster: Wiggle150."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.units import kcal, mol
from pydantic import Field

from mfbench.benchmarks.observables.alloy import metric_rows
from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.sets.wiggle150 import FILE, read_conformers

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

CONFORMERS = "conformers"
"""Value of the column `split` in rows on conformers."""

KCAL_PER_MOL = kcal / mol
"""eV."""


class ConformersPlan(Plan):
    """Conformers that are measured: all of Wiggle150, or some molecules."""

    molecules: tuple[str, ...] = Field(
        ("ado", "bpn", "efa"), min_length=1, description="Short names of the molecules in Wiggle150's file."
    )


class Conformers(Observable[ConformersPlan]):
    """Relative energies of strained conformers."""

    name = "conformers"
    summary = "relative energies of strained conformers (Wiggle150), kcal/mol"
    plan_class = ConformersPlan
    benchmark = FILE.folder
    rank = 60
    sources = (
        "mfbench.benchmarks.observables.alloy",
        "mfbench.benchmarks.sets.files",
        "mfbench.benchmarks.sets.wiggle150",
    )
    metrics = (
        Metric("conformers_mae_kcal_per_mol", "MAE", "relative energy MAE", "kcal/mol", "lower", "conformers"),
        Metric("conformers_rmse_kcal_per_mol", "RMSE", "relative energy RMSE", "kcal/mol", "lower", "conformers"),
        Metric(
            "conformers_n_missing", "missing", "conformers without a prediction", "structures", "lower", "conformers"
        ),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "conformers": {
            "structure_id": "str",
            "molecule": "str",
            "relative_ref_kcal_per_mol": "float64",
            "relative_pred_kcal_per_mol": "float64",
        },
    }
    sections = (
        Section(
            "conformers",
            "conformers",
            "MAE, RMSE: of energies relative to the relaxed conformer of each molecule, which is not counted; missing: "
            "conformers with an element that the potential has not been trained on, left out of the errors.",
        ),
    )

    def identity(self, task: Task, plan: ConformersPlan) -> dict[str, Any]:
        """Check that the file is here; its contents decide the numbers, too."""
        from mfbench.benchmarks.sets.files import obtain
        from mfbench.mfcore.files import sha256_of

        return {"file_sha256": sha256_of(obtain(FILE))}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: ConformersPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Compare relative energies, see :func:`conformers`."""
        return conformers(potential, plan)

    def on_benchmark(self, potential: Potential, plan: ConformersPlan, fidelity: str) -> Evaluation:
        """Compare without a task, see :func:`conformers`."""
        return conformers(potential, plan, fidelity)


def conformers(potential: Potential, plan: ConformersPlan, fidelity: str | None = None) -> Evaluation:
    """Compare the energies of conformers with the reference's.

    As Wiggle150's authors and LAMBench do: both are relative to the conformer 0 of the same molecule, each by its own
    energy of it; the error is over all other conformers of all molecules together.

    Parameters
    ----------
    fidelity
        Which of the potential's; None: the target.

    Returns
    -------
    Evaluation
        Rows with split "conformers": `conformers_mae_kcal_per_mol`, `conformers_rmse_kcal_per_mol` (n: conformers that
        have a prediction) and `conformers_n_missing` (n: all). Detail "conformers". Nothing for a potential that needs
        calculations of a lower level.

    Raises
    ------
    DataError
        If the file is not here or damaged, or has no such molecule.
    """
    from mfbench.mfcore.errors import DataError

    if potential.requires_low_labels:
        return Evaluation([])
    every = read_conformers()
    if unknown := [name for name in plan.molecules if name not in every]:
        raise DataError(f"no molecule '{unknown[0]}' in it, only {', '.join(every)}.", file=FILE.name)
    lines: list[dict[str, Any]] = []
    for molecule in dict.fromkeys(plan.molecules):
        own = every[molecule]
        predicted = np.full(len(own.frames), np.nan)
        if set(own.frames[0].numbers.tolist()) <= set(potential.species):
            predicted = potential.predict(own.frames, fidelity, forces=False).energies / KCAL_PER_MOL
        reference = own.energies_kcal_per_mol
        lines += [
            {
                "structure_id": own.names[i],
                "molecule": molecule,
                "relative_ref_kcal_per_mol": float(reference[i] - reference[0]),
                "relative_pred_kcal_per_mol": float(predicted[i] - predicted[0]),
            }
            for i in range(1, len(own.frames))
        ]
    errors = np.array([line["relative_pred_kcal_per_mol"] - line["relative_ref_kcal_per_mol"] for line in lines])
    given = errors[np.isfinite(errors)]
    rows = metric_rows(
        CONFORMERS, [("conformers_n_missing", "structures", float(len(errors) - len(given)))], len(errors)
    )
    if len(given):
        scores = [
            ("conformers_mae_kcal_per_mol", "kcal/mol", float(np.abs(given).mean())),
            ("conformers_rmse_kcal_per_mol", "kcal/mol", float(np.sqrt(np.square(given).mean()))),
        ]
        rows += metric_rows(CONFORMERS, scores, len(given))
    else:
        _log.warning("conformers: the potential knows the elements of no molecule.")
    return Evaluation(rows, {"conformers": lines})
