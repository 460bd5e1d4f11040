"""Measurement of the hull: energies of formation of phases, relaxed and as they are, and scores of stability."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.benchmarks.observables.alloy import MEV, RelaxationPlan, metric_rows, relaxed_energies_ev
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.phases import composition, phases_of
from mfbench.mfcore.data.frames import energy_of, has_label
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

HULL = "hull"
"""Value of the column `split` in rows on all phases."""

KNOWN, NEW = "hull_known_systems", "hull_new_systems"
"""The same of phases of systems that HF training has frames of, and of the others, where there are both."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Phases:
    """Energies of formation and reference distances, eV/atom, each (n,); `scored` leaves the components out."""

    frames: list[Atoms]
    x: Array
    scored: NDArray[np.bool_]
    reference: Array
    distance: Array
    relaxed: Array | None
    unrelaxed: Array


def hull(
    potential: Potential, task: Task, plan: RelaxationPlan, thresholds: Sequence[float], split: Split | None = None
) -> Evaluation:
    """Classify phases as stable or not.

    Energies of formation are relative to the potential's own components (the elements, or the end members of an
    alloy), and the reference's to the reference's: errors of reference energies cancel. The distance to the hull is
    taken from the *reference's* hull, of all phases, for the prediction as well: with the potential's own hull, one
    phase that it makes too stable would move the others, too. So does Matbench Discovery (predicted formation energies
    against the DFT hull). Phases at the composition of a component are not scored. The scores are defined as
    matbench_discovery's `stable_metrics` defines them, see :func:`mfbench.mfcore.metrics.discovery.stability_scores`.

    Parameters
    ----------
    thresholds
        Distances up to which a phase counts as stable, eV/atom; the first is the main.
    split
        Names the chemical systems that HF training has frames of.

    Returns
    -------
    Evaluation
        Rows with split "hull", at the main threshold: itself as `hull_threshold_mev_per_atom`, `hull_f1`,
        `hull_precision`, `hull_recall`, `hull_daf`, `hull_mae_mev_per_atom` (of the phases that have a prediction) and
        `hull_n_missing`, and `hull_unrelaxed_f1` and `hull_unrelaxed_mae_mev_per_atom` at the stored geometries; at the
        others the names of the first four ending in `_30mev_per_atom` and the like. The same with split
        "hull_known_systems" and "hull_new_systems", where HF training has frames of some of the systems only. A phase
        without a prediction counts as unstable. A value that does not exist has no row, and the log says why. Details
        "hull" and "phases". A potential that needs calculations of a lower level is not relaxed: it has the unrelaxed
        scores alone, from the labels that the frames have; nothing where these are not there.

    Raises
    ------
    ConfigError
        If the task has no phases.
    DataError
        If a phase is no mixture of the components, or a component is not among the phases.
    """
    phases = _measured(potential, task, plan)
    if phases is None:
        return Evaluation([])
    parts = {HULL: phases.scored, **_by_training(phases, task, split)}
    rows = [row for name, chosen in parts.items() for row in _rows(name, phases, chosen, thresholds)]
    details = {"phases": _lines(phases)}
    if phases.relaxed is not None:
        shift = phases.distance - phases.reference
        details["hull"] = [
            {
                "structure_id": id_of(phases.frames[i]),
                "x": float(phases.x[i]),
                "distance_ref_ev_per_atom": float(phases.distance[i]),
                "distance_pred_ev_per_atom": float(phases.relaxed[i] + shift[i]),
            }
            for i in np.flatnonzero(phases.scored)
        ]
    return Evaluation(rows, details)


def _measured(potential: Potential, task: Task, plan: RelaxationPlan) -> _Phases | None:
    from mfbench.mfcore.metrics.phase_diagram import (
        TOLERANCE,
        distances_to_hull_ev_per_atom,
        formation_energies_ev_per_atom,
        pure,
        shares_of_atoms,
    )

    offered = phases_of(task, HULL)
    frames = list(offered.phases())
    for needed in potential.requires_low_labels:
        if not all(has_label(a, needed, Label.ENERGY) for a in frames):
            _log.warning("hull: not every phase has the label of '%s' that the potential needs.", needed)
            return None
    shares, components = shares_of_atoms([composition(a) for a in frames], offered.components())
    sizes = np.array([len(a) for a in frames], dtype=np.float64)
    reference = formation_energies_ev_per_atom(shares, np.array([energy_of(a, task.high) for a in frames]) / sizes)
    lost = np.flatnonzero(np.isnan(reference))
    if len(lost):
        absent = [c for c, share in zip(components, shares.T, strict=True) if not (share > 1.0 - TOLERANCE).any()]
        raise DataError(
            f"hull: there is no energy of {', '.join(absent)}, which {frames[lost[0]].symbols} is made of.",
            key=f"{task.high}_energy",
            hint="The phases of the task need a frame of each component.",
        )
    stored = np.asarray(potential.predict(frames, task.high, forces=False).energies)
    relaxed = None
    if not potential.requires_low_labels:
        found = relaxed_energies_ev(potential, frames, task.high, plan)
        relaxed = formation_energies_ev_per_atom(shares, found / sizes)
    return _Phases(
        frames,
        shares[:, 1] if shares.shape[1] == 2 else np.full(len(frames), np.nan),
        ~pure(shares),
        reference,
        distances_to_hull_ev_per_atom(shares, reference),
        relaxed,
        formation_energies_ev_per_atom(shares, stored / sizes),
    )


def _by_training(phases: _Phases, task: Task, split: Split | None) -> dict[str, NDArray[np.bool_]]:
    """Scored phases whose system HF training has frames of, and the others; nothing if one of the two is empty."""
    if split is None:
        return {}
    systems = {frozenset(a.get_chemical_symbols()) for a in split.training.train[task.high]}
    known = np.array([frozenset(a.get_chemical_symbols()) in systems for a in phases.frames])
    parts = {KNOWN: phases.scored & known, NEW: phases.scored & ~known}
    return parts if all(part.any() for part in parts.values()) else {}


def _rows(split: str, phases: _Phases, chosen: NDArray[np.bool_], thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Rows of the scores at each threshold, of the chosen phases."""
    from mfbench.mfcore.metrics.discovery import stability_scores

    true = phases.distance[chosen]
    shift = (phases.distance - phases.reference)[chosen]
    rows = []
    for place, threshold in enumerate(thresholds):
        ending = f"_{MEV * threshold:g}mev_per_atom" if place else ""
        decided = 0 < int((true <= threshold).sum()) < len(true)
        if not decided:
            _log.warning(
                "%s: at %g eV/atom %s of %d phases are stable, so that there is nothing to classify.",
                split,
                threshold,
                "all" if (true <= threshold).any() else "none",
                len(true),
            )
        metrics: list[tuple[str, str, float | None]] = []
        if phases.relaxed is not None:
            scores = stability_scores(true, phases.relaxed[chosen] + shift, threshold_ref=threshold)
            metrics += [
                (f"hull_{name}{ending}", "", getattr(scores, name) if decided else None)
                for name in ("f1", "precision", "recall", "daf")
            ]
            if not place:
                metrics.append(("hull_mae_mev_per_atom", "meV/atom", MEV * scores.mae_ev_per_atom))
                metrics.append(("hull_n_missing", "structures", float(scores.n_missing)))
        if not place:
            metrics.append(("hull_threshold_mev_per_atom", "meV/atom", MEV * threshold))
            scores = stability_scores(true, phases.unrelaxed[chosen] + shift, threshold_ref=threshold)
            metrics.append(("hull_unrelaxed_f1", "", scores.f1 if decided else None))
            metrics.append(("hull_unrelaxed_mae_mev_per_atom", "meV/atom", MEV * scores.mae_ev_per_atom))
        rows += metric_rows(split, metrics, len(true))
    return rows


def _lines(phases: _Phases) -> list[dict[str, Any]]:
    relaxed = np.full(len(phases.frames), np.nan) if phases.relaxed is None else phases.relaxed
    return [
        {
            "structure_id": id_of(atoms),
            "formula": str(atoms.symbols.formula.format("hill")),
            "distance_ref_ev_per_atom": float(phases.distance[i]),
            "formation_ref_ev_per_atom": float(phases.reference[i]),
            "formation_pred_ev_per_atom": float(relaxed[i]),
            "formation_unrelaxed_ev_per_atom": float(phases.unrelaxed[i]),
        }
        for i, atoms in enumerate(phases.frames)
    ]
