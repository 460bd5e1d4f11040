"""Failure criteria from a reference: what its labelled frames and its own trajectories look like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii

from mfbench.mfcore.data.closest import closest_pairs
from mfbench.mfcore.dynamics.criteria import (
    MODES,
    Bond,
    FailureCriteria,
    Mode,
    Unit,
    first_failure,
    molecule_key,
)
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.models import ForceModel
from mfbench.mfcore.dynamics.monitor import GeometryMonitor
from mfbench.mfcore.dynamics.neighbours import SkinList
from mfbench.mfcore.dynamics.results import pass_rate
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start
from mfbench.mfcore.dynamics.trajectory import Trajectory, survivors
from mfbench.mfcore.errors import DataError

#: A bond is shorter than this times the sum of the covalent radii.
BOND_FACTOR = 1.25

_SKIN = 0.01


@dataclass
class Reference:
    """Extremes that were seen in reference frames.

    Attributes
    ----------
    pair_minimum
        Å, closest approach of each pair of elements ('Li-S').
    bonds
        By molecule (elements in the order of its atoms), the bonds with their mean lengths.
    n_frames
        How many frames were looked at.
    """

    pair_minimum: dict[str, float] = field(default_factory=dict)
    bonds: dict[str, tuple[Bond, ...]] = field(default_factory=dict)
    n_frames: int = 0

    @classmethod
    def from_frames(cls, frames: Iterable[Atoms]) -> Reference:
        """Look at frames; molecules with the same elements in the same order are taken for the same.

        Labelled frames alone are a bound on pairs that a trajectory of the reference may go below: give frames of
        that trajectory, too.

        Raises
        ------
        DataError
            If there is no frame.
        """
        made, lengths = cls(), dict[str, list[np.ndarray]]()
        for atoms in frames:
            made.n_frames += 1
            made._see_pairs(atoms)
            if not atoms.pbc.any():
                lengths.setdefault(molecule_key(atoms.numbers), []).append(_distances(atoms.positions))
                made.bonds.setdefault(molecule_key(atoms.numbers), ())
        if not made.n_frames:
            raise DataError("calibration: there is no reference frame.")
        for key, tables in lengths.items():
            made.bonds[key] = _bonds(key, np.mean(tables, axis=0))
        return made

    def _see_pairs(self, atoms: Atoms) -> None:
        for pair, distance in closest_pairs([atoms]).items():
            self.pair_minimum[pair] = min(distance, self.pair_minimum.get(pair, np.inf))

    def criteria(self, units: Sequence[Unit] = (), **thresholds: Any) -> FailureCriteria:
        """Failure criteria with these minima and bonds; `thresholds` are fields of :class:`FailureCriteria`."""
        return FailureCriteria(
            pair_minimum=dict(sorted(self.pair_minimum.items())),
            bonds={key: bonds for key, bonds in sorted(self.bonds.items()) if bonds},
            units=tuple(units),
            **thresholds,
        )


def _distances(positions: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(positions[:, None] - positions[None], axis=2))


def _bonds(key: str, mean: np.ndarray) -> tuple[Bond, ...]:
    numbers = Atoms(key).numbers
    radii = covalent_radii[numbers]
    first, second = np.nonzero(np.triu(mean < BOND_FACTOR * (radii[:, None] + radii[None]), 1))
    return tuple(Bond(first=int(i), second=int(j), mean=float(mean[i, j])) for i, j in zip(first, second, strict=True))


def temperature_factor(n_atoms: int, n_steps: int, probability: float = 1e-3) -> float:
    """Multiple of the target that the kinetic temperature of a healthy canonical system hardly ever exceeds.

    The kinetic energy of n atoms is a χ² variable of 3n degrees of freedom, so that of a small molecule exceeds twice
    its mean every few hundred steps. The chance to exceed the multiple at any of `n_steps` steps, taken
    as independent, is `probability`.
    """
    from scipy import stats

    freedom = 3 * n_atoms
    return float(stats.chi2.isf(probability / n_steps, freedom) / freedom)


@dataclass(frozen=True)
class Verdict:
    """Answers of the criteria for stored frames: the first failure, or None throughout."""

    mode: Mode | None
    time_ps: float


def judge(trajectory: Trajectory, criteria: FailureCriteria) -> Verdict:
    """Apply the criteria on the geometry to a stored trajectory, such as one of the reference.

    Parameters
    ----------
    trajectory
        Frames at equal intervals.
    criteria
        Thresholds; the temperature is not looked at.

    Returns
    -------
    Verdict
        Mode and time of the first failure, or None and the time of the last frame.
    """
    times, cpu = trajectory.time_ps, torch.device("cpu")
    interval = 1000.0 * float(times[1] - times[0]) if len(times) > 1 else 1.0
    atoms = Atoms(trajectory.numbers, trajectory.positions[0], cell=trajectory.cell, pbc=trajectory.periodic)
    reach = criteria.reach + _SKIN
    monitor = GeometryMonitor(criteria, [atoms], interval, reach, cpu)
    species = torch.zeros(len(atoms), dtype=torch.int64)
    neighbours: SkinList | None = None
    for step, positions in enumerate(trajectory.positions):
        flags: dict[Mode, torch.Tensor] = {MODES[0]: torch.tensor([not np.isfinite(positions).all()])}
        if not bool(flags[MODES[0]]):
            here = torch.from_numpy(np.ascontiguousarray(positions, dtype=np.float64))
            if neighbours is None:
                atoms.positions = positions
                neighbours = SkinList([atoms], species, reach, 1.0, cpu, torch.float64)
            neighbours.update(here)
            squares = neighbours.vectors(here).square().sum(1)
            flags |= monitor.check(step, here, neighbours, squares)
        mode = first_failure(flags, 0)
        if mode is not None:
            return Verdict(mode, float(times[step]))
    return Verdict(None, float(times[-1]))


@dataclass(frozen=True)
class Calibration:
    """Criteria, and how the reference itself fares under them.

    Attributes
    ----------
    criteria
        Thresholds.
    pass_rate
        Survivors among the reference's replicas that survived or failed, in a run of its own; NaN if there are none.
    n, n_errors
        Replicas that survived or failed, and errors, which are not among them.
    modes
        Number of the reference's failures by mode.
    """

    criteria: FailureCriteria
    pass_rate: float
    n: int
    n_errors: int
    modes: dict[str, int]


def calibrate(
    model: ForceModel,
    labelled: Sequence[Atoms],
    replicas: Sequence[Start],
    settings: DynamicsSettings,
    out: Path,
    *,
    units: Sequence[Unit] = (),
    seed: int = 0,
    **thresholds: Any,
) -> Calibration:
    """Failure criteria from labelled frames and trajectories of the reference model.

    One run of the reference shows how close pairs come and how long bonds are; a second one, with other random
    numbers, says how often the reference passes. Below 1, the thresholds call healthy dynamics a failure.

    Parameters
    ----------
    model
        The reference.
    labelled
        Frames with labels of the reference level.
    replicas, settings
        The dynamics that candidates will have to last.
    out
        Folder of both runs; what is there is not computed again.
    units
        Structural units.
    seed
        Of the first run; the second has the next one.
    thresholds
        Other fields of :class:`FailureCriteria`. The temperature factor is 3 if none is given, or more where small
        molecules need it, see :func:`temperature_factor`.
    """
    if "temperature_factor" not in thresholds:
        smallest = min(len(start.atoms) for start in replicas)
        thresholds["temperature_factor"] = max(3.0, temperature_factor(smallest, settings.n_steps * len(replicas)))
    tolerant = FailureCriteria(temperature_factor=thresholds["temperature_factor"])
    shown = simulate(model, replicas, settings, tolerant, seed=seed, out=out / "shown", trajectories=True)
    seen = (atoms for trajectory in survivors(shown).values() for atoms in trajectory.frames())
    criteria = Reference.from_frames([*labelled, *seen]).criteria(units, **thresholds)
    own = simulate(model, replicas, settings, criteria, seed=seed + 1, out=out / "passed").results
    failures = [r.mode or "" for r in own if r.status == "failure"]
    errors = sum(r.status == "error" for r in own)
    return Calibration(
        criteria,
        pass_rate(own),
        len(own) - errors,
        errors,
        {mode: failures.count(mode) for mode in sorted(set(failures))},
    )
