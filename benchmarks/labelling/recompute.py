"""Compute the cheapest labels of an embedded task again, where the program is installed, and compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms, units

from mfbench.benchmarks.labelling.verify import Check
from mfbench.benchmarks.tasks.base import Task
from mfbench.benchmarks.tasks.crystals import CrystalTask
from mfbench.benchmarks.tasks.molecular_cc.task import MolecularCC
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, stress_of
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import MfbenchError
from mfbench.mfcore.fidelity import Label

ENERGY_TOLERANCE = 1e-4
"""eV/atom."""

FORCE_TOLERANCE = 2e-3
"""eV/Å, of every component."""

STRESS_TOLERANCE = 0.1
"""GPa, of every component."""

Progress = Callable[[float, float, str], None]
"""Told (seconds spent, seconds expected, what is being computed)."""


def recompute(task: Task, progress: Progress | None = None) -> list[Check]:
    """Compute one label of each level again: that of the frame that took the least time.

    Nothing is raised: a program that is missing is a check with `ok` None, one that fails is a check that is not ok.
    Tasks without a generator have no check.
    """
    try:
        if isinstance(task, CrystalTask):
            return _by_gpaw(task, progress)
        if isinstance(task, MolecularCC):
            return _by_pyscf(task, progress)
    except MfbenchError as error:
        return [Check("recomputed", False, str(error))]
    return []


def compare(name: str, atoms: Atoms, fidelity: str, record: Mapping[str, Any], programs: str) -> Check:
    """Compare a label with what a program says now.

    Parameters
    ----------
    name
        Of the check.
    atoms
        With the stored label.
    record
        energy_eV, and if they were computed forces_eV_per_A and stress_eV_per_A3 (Voigt); or error.
    programs
        What computed it, for the detail.
    """
    if "error" in record:
        return Check(name, False, f"{id_of(atoms)}: {record['error']} ({programs})")
    energy = abs(record["energy_eV"] - energy_of(atoms, fidelity)) / len(atoms)
    ok, text = energy <= ENERGY_TOLERANCE, f"energy differs by {1e3 * energy:.4f} meV/atom"
    if "forces_eV_per_A" in record and has_label(atoms, fidelity, Label.FORCES):
        force = float(np.abs(np.array(record["forces_eV_per_A"]) - forces_of(atoms, fidelity)).max())
        ok, text = ok and force <= FORCE_TOLERANCE, f"{text}, forces by up to {1e3 * force:.3f} meV/Å"
    if "stress_eV_per_A3" in record and has_label(atoms, fidelity, Label.STRESS):
        voigt = stress_of(atoms, fidelity)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        stress = float(np.abs(np.array(record["stress_eV_per_A3"]) - voigt).max()) / units.GPa
        ok, text = ok and stress <= STRESS_TOLERANCE, f"{text}, stress by up to {stress:.4f} GPa"
    return Check(name, bool(ok), f"{id_of(atoms)}: {text} ({programs})")


def cheapest(frames: Sequence[Atoms], key: str) -> Atoms | None:
    """Return the frame whose label took the least CPU time; None if none was timed."""
    timed = [atoms for atoms in frames if key in atoms.info]
    return min(timed, key=lambda atoms: float(atoms.info[key]), default=None)


def _by_gpaw(task: CrystalTask, progress: Progress | None) -> list[Check]:
    from mfbench.benchmarks.labelling.gpaw.labels import LEVELS, compute, gpaw_python, read_labels

    if gpaw_python() is None:
        return [Check("recomputed", None, "not recomputed: GPAW is not installed")]
    # A frame of the target level serves both: its calculation starts from the other one.
    dearest = next((level for level in reversed(LEVELS) if cheapest(task.frames, f"{level}_cpu_s")), None)
    atoms = None if dearest is None else cheapest(task.frames, f"{dearest}_cpu_s")
    if atoms is None:
        return [Check("recomputed", None, "not recomputed: no label of this task was timed")]
    expected, begin = float(atoms.info[f"{dearest}_cpu_s"]), time.monotonic()
    wanted = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    present = [level for level in LEVELS if has_label(atoms, level, Label.ENERGY)]
    wanted.info = {"structure_id": id_of(atoms), "levels": "+".join(present)}

    def told(done: int, total: int, what: str) -> None:
        if progress is not None:
            progress(min(time.monotonic() - begin, expected), expected, f"{id_of(atoms)}: {what}")

    with TemporaryDirectory(prefix="mfbench-") as folder:
        labels = read_labels(compute([wanted], Path(folder), LEVELS, progress=told, settings=task.card["settings"]))
    return [
        compare(f"{level} recomputed", atoms, level, record, f"GPAW {record['gpaw']}, ASE {record['ase']}")
        for (_, level), record in labels.items()
    ]


def _by_pyscf(task: MolecularCC, progress: Progress | None) -> list[Check]:
    try:
        import pyscf
    except ImportError as error:
        missing = "not installed" if error.name == "pyscf" else f"not whole ({error})"
        return [Check("recomputed", None, f"not recomputed: PySCF is {missing}")]
    from mfbench.benchmarks.labelling.molecular_cc.generate import compute

    jobs = []
    for fidelity, level, key in (
        (task.fidelities[0], "low", f"{task.fidelities[0]}_cpu_s"),
        (task.high, "high_forces", f"{task.high}_forces_cpu_s"),
    ):
        atoms = cheapest(task.frames, key)
        if atoms is not None:
            jobs.append((atoms, fidelity, level, float(atoms.info[key])))
    spent, expected, checks = 0.0, sum(job[-1] for job in jobs), []
    for atoms, fidelity, level, cost in jobs:
        if progress is not None:
            progress(spent, expected, f"{id_of(atoms)}: PySCF")
        record: dict[str, Any]
        try:
            record = compute(atoms, level)
        except Exception as error:  # whatever the program raises is what was found
            record = {"error": f"{type(error).__name__}: {error}"}
        checks.append(compare(f"{fidelity} recomputed", atoms, fidelity, record, f"PySCF {pyscf.__version__}"))
        spent += cost
    if progress is not None:
        progress(expected, expected, "done")
    return checks
