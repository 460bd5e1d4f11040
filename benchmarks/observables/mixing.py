"""Mixing energies, distances to the hull, and bulk moduli: what a fitted potential says of an alloy's orderings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from mfbench.benchmarks.tasks.base import Evaluation, Task, metric_row
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mfbench.mfcore.metrics.mixing import EquationOfState
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

MIXING = "mixing"
"""What stands in the column `split` of rows on mixing energies and equations of state."""

HULL = "hull"
"""The same for the classification by distance to the hull."""

MEV = 1000.0


class MixingPlan(BaseModel):
    """How the orderings of an alloy are relaxed and scored; the same for all arms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fmax_ev_per_a: float = Field(
        0.01, gt=0, description="Relaxed when no force is larger, eV/Å; for the cell: virial per atom, eV."
    )
    max_steps: int = Field(300, ge=1, description="Steps after which a relaxation has failed.")
    hull_thresholds_ev_per_atom: tuple[float, ...] = Field(
        (0.04, 0.03, 0.05),
        min_length=1,
        description="Distances to the hull up to which an ordering counts as stable, eV/atom; the first is the main.",
    )
    bulk_modulus: bool = Field(True, description="Score the equations of state of the end members, too.")

    @field_validator("hull_thresholds_ev_per_atom")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < 0 or not np.isfinite(value).all() or len(set(value)) < len(value):
            raise ValueError("expected different distances, none of them negative")
        return value


@runtime_checkable
class AlloyTask(Protocol):
    """What a task offers for a plan of mixing energies; every frame has an HF energy."""

    def orderings(self) -> Sequence[Atoms]:
        """Near-relaxed orderings of all compositions, both end members among them.

        Raises
        ------
        ConfigError
            If the data have none.
        """

    def composition(self, atoms: Atoms) -> float:
        """Share of the second end member, 0 to 1."""

    def volume_scans(self) -> Mapping[str, Sequence[Atoms]]:
        """Cells of each end member, by name, at several volumes.

        Raises
        ------
        ConfigError
            If the data have none.
        """


def alloy_of(task: Task, plan: MixingPlan) -> AlloyTask:
    """Give the task as one that a plan can be run on; cheap, to be asked before anything is trained.

    Raises
    ------
    ConfigError
        If the task is no alloy, or its data lack the frames.
    """
    if not isinstance(task, AlloyTask):
        raise ConfigError(f"mixing: task '{task.name}' has no orderings of an alloy; leave the key out for it.")
    task.orderings()
    if plan.bulk_modulus:
        task.volume_scans()
    return task


def mixing(potential: Potential, task: Task, plan: MixingPlan) -> Evaluation:
    """Score a potential on the orderings of an alloy and the equations of state of its end members.

    Mixing energies are relative to the potential's own end members, and the reference's to the reference's: a constant
    or composition-linear error, such as that of reference energies, cancels. The prediction is the energy after
    relaxing atoms and cell with the potential, the reference the HF energy at the stored geometry.

    The distance to the hull is taken from the *reference's* hull, of all its orderings and end members, for the
    prediction as well: with the potential's own hull, one ordering that it makes too stable would move the others, too.
    So does Matbench Discovery (predicted formation energies against the DFT hull). End members have distance zero by
    construction and are not scored.

    Returns
    -------
    Evaluation
        Rows with split "mixing": `mixing_energy_mae_mev_per_atom` and `mixing_energy_r2` over the orderings that are
        no end members (n: all of them; failed relaxations are left out of the value), `mixing_n_failed` (relaxations,
        of n), `mixing_energy_unrelaxed_mae_mev_per_atom` (the prediction at the stored geometry, without what
        relaxation does), and `bulk_modulus_<member>_gpa`, `bulk_modulus_mae_gpa` and `equilibrium_volume_mae_percent`
        from energies at stored volumes. Rows with split "hull" at the main threshold: itself as
        `hull_threshold_mev_per_atom`, `hull_f1`, `hull_precision`, `hull_recall`, `hull_daf` and `hull_n_missing`; at
        the others the same names ending in `_30mev_per_atom` and the like. An ordering without a prediction counts as
        unstable. A value that does not exist has no row, and the log says why. Details "mixing", "hull" and "eos", the
        energies that equations of state are fitted to.
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

    alloy = alloy_of(task, plan)
    frames = list(alloy.orderings())
    x = np.array([alloy.composition(a) for a in frames])
    sizes = [len(a) for a in frames]
    reference = mixing_energies_ev_per_atom([energy_of(a, task.high) for a in frames], sizes, x)
    stored = potential.predict(frames, task.high, forces=False).energies
    unrelaxed = mixing_energies_ev_per_atom(stored, sizes, x)
    inner = ~np.logical_or(*end_members(x))
    mae = _mae_mev(unrelaxed[inner], reference[inner])
    rows = _rows(MIXING, [("mixing_energy_unrelaxed_mae_mev_per_atom", "meV/atom", mae)], int(inner.sum()))
    details: dict[str, list[dict[str, Any]]] = {}
    if not potential.requires_low_labels:
        energies = _relaxed(potential, frames, task.high, plan)
        failed = np.isnan(energies)
        predicted = mixing_energies_ev_per_atom(energies, sizes, x)
        if not failed.all() and np.isnan(predicted).all():
            _log.warning("mixing: an end member has no relaxed energy, so that no ordering has a mixing energy.")
        rows += _rows(MIXING, [("mixing_n_failed", "structures", float(failed.sum()))], len(frames))
        rows += _rows(MIXING, _energy_scores(predicted[inner], reference[inner]), int(inner.sum()))
        scored, lines = _hull(x, reference, predicted, inner, frames, plan)
        rows += scored
        details = {"mixing": _lines(frames, x, reference, predicted), "hull": lines}
    if plan.bulk_modulus:
        scored, details["eos"] = _moduli(potential, task, alloy)
        rows += scored
    return Evaluation(rows, details)


def _relaxed(potential: Potential, frames: Sequence[Atoms], fidelity: str, plan: MixingPlan) -> NDArray[np.float64]:
    """Energies (n,) in eV after relaxation; NaN where it failed."""
    from mfbench.mfcore.potentials.relax import relax

    calculator = potential.calculator(fidelity)
    found = [relax(a, calculator, fmax=plan.fmax_ev_per_a, max_steps=plan.max_steps) for a in frames]
    problems = {id_of(a): result.problem for a, result in zip(frames, found, strict=True) if result.problem}
    if problems:
        name, problem = next(iter(problems.items()))
        _log.warning("mixing: %d of %d relaxations failed; %s: %s.", len(problems), len(frames), name, problem)
    return np.array([result.energy_ev for result in found])


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


def _hull(
    x: NDArray[np.float64],
    reference: NDArray[np.float64],
    predicted: NDArray[np.float64],
    inner: NDArray[np.bool_],
    frames: Sequence[Atoms],
    plan: MixingPlan,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the classification at each threshold, and the distances of each ordering (eV/atom)."""
    from mfbench.mfcore.metrics.discovery import stability_scores
    from mfbench.mfcore.metrics.mixing import hull_energies_ev_per_atom

    hull = hull_energies_ev_per_atom(x, reference)
    true, found = (reference - hull)[inner], (predicted - hull)[inner]
    rows = []
    for place, threshold in enumerate(plan.hull_thresholds_ev_per_atom):
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
        rows += _rows(HULL, metrics, scores.n)
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


def _moduli(potential: Potential, task: Task, alloy: AlloyTask) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows on the equations of state, from energies at the stored geometries of each end member, and those energies."""
    lines: list[dict[str, Any]] = []
    for member, frames in alloy.volume_scans().items():
        energies = potential.predict(frames, task.high, forces=False).energies
        lines += [
            {
                "member": member,
                "volume_a3_per_atom": atoms.get_volume() / len(atoms),
                "energy_ref_ev_per_atom": energy_of(atoms, task.high) / len(atoms),
                "energy_pred_ev_per_atom": float(energy) / len(atoms),
            }
            for atoms, energy in zip(frames, energies, strict=True)
        ]
    references, predictions = _equations_of_state(lines, "ref"), _equations_of_state(lines, "pred")
    metrics: list[tuple[str, str, float | None]] = []
    modulus_errors: list[float] = []
    volume_errors: list[float] = []
    for member, true in references.items():
        if true is None:
            raise DataError(
                f"task '{task.name}': the '{task.high}' energies of {member} have no minimum between its volumes.",
                key=f"{task.high}_energy",
                hint="Add larger or smaller volumes.",
            )
        found = predictions[member]
        if found is None:
            _log.warning("mixing: the potential's energies have no minimum between the volumes of %s.", member)
            continue
        metrics.append((f"bulk_modulus_{member}_gpa", "GPa", found.bulk_modulus_gpa))
        modulus_errors.append(abs(found.bulk_modulus_gpa - true.bulk_modulus_gpa))
        volume_errors.append(100.0 * abs(found.volume / true.volume - 1.0))
    rows = _rows(MIXING, metrics, 1)
    if len(modulus_errors) < len(references):  # a mean over the members that went well would flatter
        return rows, lines
    means = [
        ("bulk_modulus_mae_gpa", "GPa", float(np.mean(modulus_errors))),
        ("equilibrium_volume_mae_percent", "%", float(np.mean(volume_errors))),
    ]
    return rows + _rows(MIXING, means, len(references)), lines


def _equations_of_state(lines: Sequence[Mapping[str, Any]], source: str) -> dict[str, EquationOfState | None]:
    """Equations of state of the end members, per atom, by one of the energies in lines of the detail "eos".

    Raises
    ------
    DataError
        If a member has too few volumes.
    """
    from mfbench.mfcore.metrics.mixing import LEAST_VOLUMES, equations_of_state

    members = [line["member"] for line in lines]
    volumes = [line["volume_a3_per_atom"] for line in lines]
    for member in dict.fromkeys(members):
        distinct = {volume for name, volume in zip(members, volumes, strict=True) if name == member}
        if len(distinct) < LEAST_VOLUMES:
            raise DataError(f"{member} has {len(distinct)} volumes; an equation of state needs {LEAST_VOLUMES}.")
    return equations_of_state(members, volumes, [line[f"energy_{source}_ev_per_atom"] for line in lines])


def _rows(split: str, metrics: Sequence[tuple[str, str, float | None]], n: int) -> list[dict[str, Any]]:
    """Rows of those metrics that have a value."""
    rows = []
    for metric, unit, value in metrics:
        if value is None or np.isnan(value):
            _log.info("%s: no row of %s, which has no value.", split, metric)
        else:
            rows.append(metric_row(split, metric, unit, value, n))
    return rows
