"""Barriers of reactions on surfaces, at the frames of converged bands of the reference: OC20NEB."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mfbench.benchmarks.observables.alloy import metric_rows
from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.sets.oc20neb import FILE, Band, read_bands, source

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

BARRIERS = "barriers"
"""Value of the column `split` in rows on barriers."""

RIGHT = 0.1
"""eV; a barrier that is off by no more is right, for the authors of the set and for LAMBench."""


class BarriersPlan(Plan):
    """Bands that are measured."""

    domain: Literal["ood", "id", "all"] = Field(
        "ood", description="Surfaces out of the domain of OC20's training set (those of LAMBench), in it, or all."
    )
    most: int | None = Field(None, ge=1, description="Measure the first so many bands only.")


class Barriers(Observable[BarriersPlan]):
    """Activation and reaction energies of given reaction paths."""

    name = "barriers"
    summary = "activation and reaction energies of reaction paths on surfaces (OC20NEB), eV"
    plan_class = BarriersPlan
    benchmark = FILE.folder
    rank = 61
    sources = (
        "mfbench.benchmarks.observables.alloy",
        "mfbench.benchmarks.sets.files",
        "mfbench.benchmarks.sets.oc20neb",
    )
    metrics = (
        Metric("barrier_mae_ev", "Ea MAE", "activation energy MAE", "eV", "lower", "barriers"),
        Metric("reaction_energy_mae_ev", "ΔE MAE", "reaction energy MAE", "eV", "lower", "barriers"),
        Metric("barrier_right_share", "right", "share of barriers within 0.1 eV", "", "higher", "barriers"),
        Metric("barriers_n_missing", "missing", "paths without a prediction", "structures", "lower", "barriers"),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "barriers": {
            "structure_id": "str",
            "reaction": "str",
            "barrier_ref_ev": "float64",
            "barrier_pred_ev": "float64",
            "reaction_energy_ref_ev": "float64",
            "reaction_energy_pred_ev": "float64",
        },
    }
    sections = (
        Section(
            "barriers",
            "barriers",
            "Ea, ΔE: energy of the transition state and of the last frame above the first, at the frames of the "
            "reference's band, which is not relaxed again; right: share of all paths whose Ea is within 0.1 eV; "
            "missing: paths with an element that the potential has not been trained on, which are not right.",
        ),
    )

    def identity(self, task: Task, plan: BarriersPlan) -> dict[str, Any]:
        """Check that the bands are here; names and sizes of their files stand for their contents."""
        path = source()
        files = sorted(path.rglob("*.traj")) if path.is_dir() else [path]
        return {"files": [[file.name, file.stat().st_size] for file in files]}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: BarriersPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Compare barriers, see :func:`barriers`."""
        return barriers(potential, plan)

    def on_benchmark(self, potential: Potential, plan: BarriersPlan, fidelity: str) -> Evaluation:
        """Compare without a task, see :func:`barriers`."""
        return barriers(potential, plan, fidelity)


def barriers(potential: Potential, plan: BarriersPlan, fidelity: str | None = None) -> Evaluation:
    """Compare activation and reaction energies with the reference's.

    As LAMBench does: energies are asked for at the ends of the reference's band and at its frame of highest reference
    energy. No band is relaxed.

    Parameters
    ----------
    fidelity
        Which of the potential's; None: the target.

    Returns
    -------
    Evaluation
        Rows with split "barriers": `barrier_mae_ev`, `reaction_energy_mae_ev` (n: paths that have a prediction),
        `barrier_right_share` and `barriers_n_missing` (n: all). Detail "barriers". Nothing for a potential that needs
        calculations of a lower level.

    Raises
    ------
    DataError
        If the bands are not here or damaged.
    """
    if potential.requires_low_labels:
        return Evaluation([])
    bands: Iterator[Band] = islice(read_bands(source(), plan.domain), plan.most)
    lines = []
    for band in bands:
        places = [0, band.top, len(band.frames) - 1]
        start, top, end = (float(band.energies_ev[i]) for i in places)
        line = {
            "structure_id": band.name,
            "reaction": band.reaction,
            "barrier_ref_ev": top - start,
            "barrier_pred_ev": float("nan"),
            "reaction_energy_ref_ev": end - start,
            "reaction_energy_pred_ev": float("nan"),
        }
        if set(band.frames[0].numbers.tolist()) <= set(potential.species):
            found = potential.predict([band.frames[i] for i in places], fidelity, forces=False).energies
            line["barrier_pred_ev"] = float(found[1] - found[0])
            line["reaction_energy_pred_ev"] = float(found[2] - found[0])
        lines.append(line)
    lines.sort(key=lambda line: str(line["structure_id"]))
    return Evaluation(_rows(lines), {"barriers": lines})


def _rows(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    height = np.array([line["barrier_pred_ev"] - line["barrier_ref_ev"] for line in lines])
    reaction = np.array([line["reaction_energy_pred_ev"] - line["reaction_energy_ref_ev"] for line in lines])
    given = np.isfinite(height)
    scores: list[tuple[str, str, float | None]] = [
        ("barrier_right_share", "", float((np.abs(height[given]) <= RIGHT).sum() / len(lines))),
        ("barriers_n_missing", "structures", float((~given).sum())),
    ]
    rows = metric_rows(BARRIERS, scores, len(lines))
    if given.any():
        errors: list[tuple[str, str, float | None]] = [
            ("barrier_mae_ev", "eV", float(np.abs(height[given]).mean())),
            ("reaction_energy_mae_ev", "eV", float(np.abs(reaction[given]).mean())),
        ]
        rows += metric_rows(BARRIERS, errors, int(given.sum()))
    else:
        _log.warning("barriers: the potential knows the elements of no path.")
    return rows
