"""Is the data of a task what its card says, and fit to be split and learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from mfbench.benchmarks.tasks.base import Task
from mfbench.benchmarks.tasks.embedded import EmbeddedTask
from mfbench.mfcore.data.frames import energy_of, fidelities_in, forces_of, has_label, stress_of
from mfbench.mfcore.data.inspect import (
    LARGE_FORCE,
    PRESSURE_TOLERANCE,
    composition_residual,
    inspect_frames,
)
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, near_duplicates
from mfbench.mfcore.data.plausible import PLAUSIBLE_FORCE_RMS
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import MfbenchError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import sha256_of

_SLOPES = (0.8, 1.25)
#: eV/atom; how far an energy may lie from the composition-linear part of its set.
ENERGY_RANGE = 2.0
#: GPa; largest component of a stress.
STRESS_RANGE = 100.0
#: eV/Å per atom; the forces on the atoms of one frame sum to zero but for grids and thresholds.
NET_FORCE = 0.02
#: Bytes of all embedded data together.
MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class Check:
    """One thing that was checked, whether it is right, and what was found; `ok` None: it could not be checked."""

    name: str
    ok: bool | None
    detail: str


def verify_task(task: Task) -> list[Check]:
    """Check the data of a task: files, counts, labels, units, and the split of its default regime.

    Nothing is raised for faulty data: the fault is the detail of a check that is not ok, and checks that need
    what failed are left out.
    """
    card: dict[str, Any] = getattr(task, "card", {})
    try:
        found = task.data_hashes()
        frames = task.frames
        if isinstance(task, EmbeddedTask):  # the task itself looks after the files of its labels
            found |= {
                path.relative_to(task.folder).as_posix(): sha256_of(path) for path in task.described("geometries")
            }
    except (MfbenchError, OSError) as error:
        return [Check("files", False, str(error))]
    checks = [Check("files", True, ", ".join(f"{name} sha256 {value[:12]}" for name, value in found.items()))]
    if isinstance(task, EmbeddedTask):
        checks += _sizes(task, frames)
    checks += _counts(task, card, frames)
    checks += _labels(frames)
    checks.append(_equal_frames(task))
    checks.append(_split(task))
    return checks


def verify_size(tasks: Iterable[Task]) -> Check:
    """Check that the data that come with the package are small enough for it."""
    total = sum(path.stat().st_size for t in tasks if isinstance(t, EmbeddedTask) for path in _paths(t).values())
    return Check(
        "size of all data", total < MOST_BYTES, f"{total / 1e6:.2f} MB; the limit is {MOST_BYTES / 1e6:.0f} MB"
    )


def _paths(task: EmbeddedTask) -> dict[str, Path]:
    """Every file that dataset.yml describes: those of labels, and geometries without."""
    return {name: task.folder / name for name in (*task.card["files"], *task.card.get("geometries", {}))}


def _sizes(task: EmbeddedTask, frames: Sequence[Atoms]) -> list[Check]:
    """Bytes of the files and number of frames, and what failed, against dataset.yml."""
    card = task.card
    entries = card["files"] | card.get("geometries", {})
    found = {name: path.stat().st_size for name, path in _paths(task).items()}
    wrong = [
        f"{n} has {size} bytes, the card says {entries[n]['bytes']}"
        for n, size in found.items()
        if size != entries[n]["bytes"]
    ]
    checks = [Check("bytes", not wrong, "; ".join(wrong) or f"{sum(found.values()) / 1e6:.2f} MB")]
    right = len(frames) == card["n_frames"]
    checks.append(Check("frames", right, f"{len(frames)}" + ("" if right else f"; the card says {card['n_frames']}")))
    labelled = {(id_of(a), level) for a in frames for level in fidelities_in([a])}
    silent, contradicted = [], []
    for failure in card.get("failures", []):
        if isinstance(failure, str):
            what, _, reason = failure.partition(": ")
            identity, _, level = what.partition(" ")
        else:
            identity, level, reason = (str(failure.get(key) or "") for key in ("structure_id", "level", "reason"))
        silent += [] if identity and level and reason else [str(failure)]
        contradicted += [f"{identity} {level}"] if (identity, level) in labelled else []
    text = f"{len(card.get('failures', []))} labels failed, each with its reason"
    if silent:
        text = f"failures without name, level or reason: {', '.join(silent)}"
    elif contradicted:
        text = f"said to have failed, and have a label: {', '.join(contradicted)}"
    return [*checks, Check("failures", not (silent or contradicted), text)]


def _counts(task: Task, card: dict[str, Any], frames: Sequence[Atoms]) -> list[Check]:
    """Labels of each level as the card says and no others (stress), and every level with all that are cheaper."""
    checks = []
    for fidelity in task.fidelities:
        counts = {label.name.lower(): sum(has_label(a, fidelity, label) for a in frames) for label in Label}
        stated = dict.fromkeys(counts, 0) | card.get("levels", {}).get(fidelity, {}).get("counts", counts)
        text = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        right = stated == counts and counts["energy"] > 0
        checks.append(Check(f"{fidelity} labels", right, text + ("" if right else f"; the card says {stated}")))
    for low, high in pairwise(task.fidelities):
        alone = [id_of(a) for a in frames if has_label(a, high, Label.ENERGY) and not has_label(a, low, Label.ENERGY)]
        text = f"every frame with {high} has {low}" if not alone else f"{high} without {low}: {_some(alone)}"
        checks.append(Check(f"{low}-{high} pairs", not alone, text))
    return checks


def _labels(frames: Sequence[Atoms]) -> list[Check]:
    """Units and ranges of the labels of each level."""
    checks = []
    for level in inspect_frames(frames).levels:
        low, high = PLAUSIBLE_FORCE_RMS
        right = level.n_forces == 0 or low <= level.force_rms <= high
        right = right and not level.slope < _SLOPES[0] and not level.slope > _SLOPES[1]  # NaN: too few pairs to tell
        text = f"force rms {level.force_rms:.3f} eV/Å, energy-force slope {_number(level.slope, '.3f')}"
        checks.append(Check(f"{level.fidelity} units", right, text))
        if level.n_stress:
            right = not abs(level.missing_pressure) > PRESSURE_TOLERANCE
            text = f"pressure missing in the stresses: {_number(level.missing_pressure, '+.2f')} (GPa)"
            checks.append(Check(f"{level.fidelity} stress agrees with energies", right, text))
        checks += _ranges(frames, level.fidelity)
    return checks


def _ranges(frames: Sequence[Atoms], fidelity: str) -> list[Check]:
    with_energy = [a for a in frames if has_label(a, fidelity, Label.ENERGY)]
    with_forces = [a for a in frames if has_label(a, fidelity, Label.FORCES)]
    with_stress = [a for a in frames if has_label(a, fidelity, Label.STRESS)]
    checks = []
    if with_energy:
        left = composition_residual(with_energy, np.array([energy_of(a, fidelity) for a in with_energy]))
        text = f"{1e3 * left.min():.0f} to {1e3 * left.max():.0f} meV/atom beside the composition-linear part"
        checks.append(_range(f"{fidelity} energies", with_energy, np.abs(left), ENERGY_RANGE, text))
    if with_forces:
        largest = np.array([np.linalg.norm(forces_of(a, fidelity), axis=1).max() for a in with_forces])
        text = f"largest {largest.max():.2f} eV/Å"
        checks.append(_range(f"{fidelity} forces", with_forces, largest, LARGE_FORCE, text))
        net = np.array([np.linalg.norm(forces_of(a, fidelity).sum(axis=0)) / len(a) for a in with_forces])
        text = f"median {1e3 * np.median(net):.2f}, largest {1e3 * net.max():.2f} meV/Å per atom"
        checks.append(_range(f"{fidelity} net force", with_forces, net, NET_FORCE, text))
    if with_stress:
        stresses = np.array([stress_of(a, fidelity) for a in with_stress]) / units.GPa
        text = f"components {stresses.min():.1f} to {stresses.max():.1f} GPa"
        largest = np.abs(stresses).max(axis=(1, 2))
        checks.append(_range(f"{fidelity} stress", with_stress, largest, STRESS_RANGE, text))
    return checks


def _range(name: str, frames: Sequence[Atoms], values: np.ndarray, limit: float, text: str) -> Check:
    beyond = [id_of(frames[i]) for i in np.flatnonzero(values > limit).tolist()]
    return Check(name, not beyond, text + (f"; beyond {limit:g}: {_some(beyond)}" if beyond else ""))


def _equal_frames(task: Task) -> Check:
    """Equal frames among those that splits use; ones that observables alone are scored on do no harm."""
    try:
        pools = task.pools(0)
        frames = [*pools.training, *pools.validation, *(atoms for test in pools.tests.values() for atoms in test)]
    except MfbenchError:
        frames = task.frames
    pairs = near_duplicates(frames, tolerance=SAME_GEOMETRY)
    named = [f"{id_of(frames[p.first])} and {id_of(frames[p.second])}" for p in pairs]
    return Check("no two frames are equal", not pairs, _some(named) if pairs else f"{len(frames)} geometries")


def _split(task: Task) -> Check:
    try:
        split = task.split(task.default_regime, 0)
    except MfbenchError as error:
        return Check("split without leakage", False, str(error))
    sizes = ", ".join(f"{name} {n}" for name, n in split.record["n_frames"].items())
    return Check("split without leakage", True, sizes)


def _number(value: float, form: str) -> str:
    return "not measured" if np.isnan(value) else format(value, form)


def _some(names: Sequence[str], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
