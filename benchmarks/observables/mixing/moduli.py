"""Equations of state of an alloy's end members: bulk moduli and equilibrium volumes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.observables.alloy import AlloyTask, metric_rows
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Task
    from mfbench.mfcore.metrics.mixing import EquationOfState
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")


def moduli(
    potential: Potential, task: Task, alloy: AlloyTask, split: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Score the equations of state, from energies at the stored geometries of each end member.

    Returns
    -------
    rows, lines
        Rows with the given split, and lines of the detail "eos".

    Raises
    ------
    DataError
        If the reference has no minimum between the volumes of an end member, or one has too few volumes.
    """
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
    rows = metric_rows(split, metrics, 1)
    if len(modulus_errors) < len(references):  # a mean over the members that went well would flatter
        return rows, lines
    means = [
        ("bulk_modulus_mae_gpa", "GPa", float(np.mean(modulus_errors))),
        ("equilibrium_volume_mae_percent", "%", float(np.mean(volume_errors))),
    ]
    return rows + metric_rows(split, means, len(references)), lines


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
