"""Is the data of a task what its card says, and fit to be split and learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.tasks.base import Task
from mfcore.data.frames import has_label
from mfcore.data.inspect import inspect_frames
from mfcore.errors import MfbenchError
from mfcore.fidelity import Label

_RANGE = (0.8, 1.25)  # of the energy-force slope


@dataclass(frozen=True)
class Check:
    """One thing that was checked, whether it is right, and what was found."""

    name: str
    ok: bool
    detail: str


def verify_task(task: Task) -> list[Check]:
    """Check the data of a task: hashes, counts, units, and the split of its default regime.

    Nothing is raised for faulty data: the fault is the detail of a check that is not ok, and checks that need
    what failed are left out.
    """
    checks: list[Check] = []
    card: dict[str, Any] = getattr(task, "card", {})
    try:
        found = task.data_hashes()
        frames = task.frames
    except MfbenchError as error:
        return [Check("files", False, str(error))]
    checks.append(Check("files", True, ", ".join(f"{name} sha256 {value[:12]}" for name, value in found.items())))
    for fidelity in task.fidelities:
        counts = {
            "energy": sum(has_label(a, fidelity, Label.ENERGY) for a in frames),
            "forces": sum(has_label(a, fidelity, Label.FORCES) for a in frames),
        }
        stated = card.get("levels", {}).get(fidelity, {}).get("counts", counts)
        text = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        right = stated == counts and counts["energy"] > 0
        checks.append(Check(f"{fidelity} labels", right, text + ("" if right else f"; the card says {stated}")))
    for level in inspect_frames(frames).levels:
        measured = f"force rms {level.force_rms:.3f} eV/Å, energy-force slope {level.slope:.3f}"
        right = not level.slope < _RANGE[0] and not level.slope > _RANGE[1]  # NaN: not enough forces to tell
        checks.append(Check(f"{level.fidelity} units", right, measured))
    try:
        split = task.split(task.default_regime, 0)
        sizes = ", ".join(f"{name} {n}" for name, n in split.record["n_frames"].items())
        checks.append(Check("split without leakage", True, sizes))
    except MfbenchError as error:
        checks.append(Check("split without leakage", False, str(error)))
    return checks
