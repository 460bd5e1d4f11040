"""Mixing energies and bulk moduli that a fitted potential gives an alloy's orderings and end members."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import Field

from mfbench.benchmarks.observables.alloy import MEV, RelaxationPlan, alloy_of, metric_rows, relaxed_energies_ev
from mfbench.benchmarks.observables.base import DetailTables, Observable
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.mixing.moduli import moduli
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.splits import id_of

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

MIXING = "mixing"
"""Value of the column `split` in rows on mixing energies and equations of state."""


class MixingPlan(RelaxationPlan):
    """Relaxation and scoring of an alloy's orderings."""

    bulk_modulus: bool = Field(True, description="Score the equations of state of the end members, too.")


class Mixing(Observable[MixingPlan]):
    """Mixing energies of an alloy's orderings, and equations of state of its end members."""

    name = "mixing"
    summary = "mixing energies of an alloy's relaxed orderings, and bulk moduli of its end members"
    plan_class = MixingPlan
    rank = 30
    sources = (
        "mfbench.benchmarks.observables.alloy",
        "mfbench.benchmarks.observables.mixing.moduli",
        "mfbench.mfcore.metrics.mixing",
    )
    metrics = (
        Metric("mixing_energy_mae_mev_per_atom", "E MAE", "mixing energy MAE", "meV/atom", "lower", "mixing"),
        Metric("mixing_energy_r2", "R²", "mixing energy R²", "", "higher", "mixing"),
        Metric(
            "mixing_energy_unrelaxed_mae_mev_per_atom",
            title="unrelaxed MAE",
            label="mixing energy MAE, unrelaxed",
            unit="meV/atom",
            better="lower",
            family="mixing",
        ),
        Metric("mixing_n_failed", "lost", "relaxations that failed", "structures", "lower", "mixing"),
        Metric("bulk_modulus_mae_gpa", "B MAE", "bulk modulus MAE", "GPa", "lower", "mixing"),
        Metric("bulk_modulus_{member}_gpa", "B({member})", "bulk modulus of {member}", "GPa", "", "mixing"),
        Metric("equilibrium_volume_mae_percent", "V0 MAE", "equilibrium volume MAE", "%", "lower", "mixing"),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "mixing": {
            "structure_id": "str",
            "x": "float64",
            "energy_ref_mev_per_atom": "float64",
            "energy_pred_mev_per_atom": "float64",
        },
        # Of end members at stored geometries, HF labels and predictions: equations of state are fitted to these.
        "eos": {
            "member": "str",
            "volume_a3_per_atom": "float64",
            "energy_ref_ev_per_atom": "float64",
            "energy_pred_ev_per_atom": "float64",
        },
    }
    sections = (
        Section(
            "mixing",
            "mixing energy",
            "E MAE, R²: mixing energies after relaxing atoms and cell with the arm's potential; unrelaxed: at the "
            "stored geometries; lost: relaxations that failed; B: bulk modulus, V0: volume where the energy is lowest.",
        ),
    )
    figures: ClassVar[Mapping[str, str]] = {"mixing": "mfbench.benchmarks.observables.mixing.figure"}

    def identity(self, task: Task, plan: MixingPlan) -> dict[str, Any]:
        """Check that the task is an alloy; its frames are in the hashes of its data."""
        alloy_of(task, self.name, volume_scans=plan.bulk_modulus)
        return {}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: MixingPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Relax and score, see :func:`mixing`."""
        return mixing(potential, task, plan)

    def reference(self, details: DetailTables) -> Mapping[str, float]:
        """Give the bulk moduli of the HF labels."""
        from mfbench.benchmarks.observables.mixing.report import moduli as moduli_of_reference

        return moduli_of_reference(details("eos"))


def mixing(potential: Potential, task: Task, plan: MixingPlan) -> Evaluation:
    """Score a potential on the orderings of an alloy and the equations of state of its end members.

    Mixing energies are relative to the potential's own end members, and the reference's to the reference's: a constant
    or composition-linear error, such as that of reference energies, cancels. The prediction is the energy after
    relaxing atoms and cell with the potential, the reference the HF energy at the stored geometry.

    Returns
    -------
    Evaluation
        Rows with split "mixing": `mixing_energy_mae_mev_per_atom` and `mixing_energy_r2` over the orderings that are
        no end members (n: all of them; failed relaxations are left out of the value), `mixing_n_failed` (relaxations,
        of n), `mixing_energy_unrelaxed_mae_mev_per_atom` (the prediction at the stored geometry, without what
        relaxation does), and `bulk_modulus_<member>_gpa`, `bulk_modulus_mae_gpa` and `equilibrium_volume_mae_percent`
        from energies at stored volumes. A value that does not exist has no row, and the log says why. Details
        "mixing" and "eos", the energies that equations of state are fitted to.
        A potential that needs calculations of a lower level is not relaxed: it has the unrelaxed error and the
        equations of state, from the labels that the frames have.

    Raises
    ------
    ConfigError
        If the task has no labelled orderings, or no end members at several volumes.
    DataError
        If the reference has no minimum between the volumes of an end member.
    """
    from mfbench.mfcore.metrics.mixing import end_members, mixing_energies_ev_per_atom

    alloy = alloy_of(task, MIXING, volume_scans=plan.bulk_modulus)
    frames = list(alloy.orderings())
    x = np.array([alloy.composition(a) for a in frames])
    sizes = [len(a) for a in frames]
    reference = mixing_energies_ev_per_atom([energy_of(a, task.high) for a in frames], sizes, x)
    stored = potential.predict(frames, task.high, forces=False).energies
    unrelaxed = mixing_energies_ev_per_atom(stored, sizes, x)
    inner = ~np.logical_or(*end_members(x))
    mae = _mae_mev(unrelaxed[inner], reference[inner])
    rows = metric_rows(MIXING, [("mixing_energy_unrelaxed_mae_mev_per_atom", "meV/atom", mae)], int(inner.sum()))
    details: dict[str, list[dict[str, Any]]] = {}
    if not potential.requires_low_labels:
        energies = relaxed_energies_ev(potential, frames, task.high, plan)
        failed = np.isnan(energies)
        predicted = mixing_energies_ev_per_atom(energies, sizes, x)
        if not failed.all() and np.isnan(predicted).all():
            _log.warning("mixing: an end member has no relaxed energy, so that no ordering has a mixing energy.")
        rows += metric_rows(MIXING, [("mixing_n_failed", "structures", float(failed.sum()))], len(frames))
        rows += metric_rows(MIXING, _energy_scores(predicted[inner], reference[inner]), int(inner.sum()))
        details["mixing"] = _lines(frames, x, reference, predicted)
    if plan.bulk_modulus:
        scored, details["eos"] = moduli(potential, task, alloy, MIXING)
        rows += scored
    return Evaluation(rows, details)


def _energy_scores(
    predicted: NDArray[np.float64], reference: NDArray[np.float64]
) -> list[tuple[str, str, float | None]]:
    """MAE and R² over the orderings with a prediction; None where too few have one."""
    from sklearn.metrics import r2_score

    given = ~np.isnan(predicted)
    r2 = None
    if given.sum() > 1 and np.ptp(reference[given]) > 0.0:
        r2 = float(r2_score(reference[given], predicted[given]))
    mae = _mae_mev(predicted[given], reference[given]) if given.any() else None
    return [("mixing_energy_mae_mev_per_atom", "meV/atom", mae), ("mixing_energy_r2", "", r2)]


def _mae_mev(predicted: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    return float(MEV * np.abs(predicted - reference).mean())


def _lines(
    frames: Sequence[Atoms], x: NDArray[np.float64], reference: NDArray[np.float64], predicted: NDArray[np.float64]
) -> list[dict[str, Any]]:
    return [
        {
            "structure_id": id_of(atoms),
            "x": float(x[i]),
            "energy_ref_mev_per_atom": float(MEV * reference[i]),
            "energy_pred_mev_per_atom": float(MEV * predicted[i]),
        }
        for i, atoms in enumerate(frames)
    ]
