"""The second round of sampling: snapshots of dynamics, driven by a potential that learnt what is labelled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import yaml
from ase import Atoms
from scipy.spatial.distance import cdist

from mfbench.benchmarks.labelling.gpaw.cells import Made, collect
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.data.splits import id_of, nested_order
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label, LabelSet

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.criteria import Unit
    from mfbench.mfcore.potentials.potential import Potential
    from mfbench.mfcore.training.progress import Progress

LOW, HIGH = "pbe", "r2scan"

SAMPLER_SEED = 20261122

_FRICTION_PER_PS = 10.0
_HEAT_FACTOR = 10.0  # what a random start releases heats a small cell to several times its temperature

_CUTOFF_A, _BINS = 5.0, 50
_STREAM = 2  # of random numbers: those of the first round have none; further rounds have others


@dataclass(frozen=True)
class DynamicsRound:
    """A sampling by dynamics.

    A potential that has seen rattled cells only soon leads dynamics astray. What it visits until then, up to the step
    at which it fails, is what it has to learn first: such a plan is an exploring one. One that learnt that too samples
    trajectories that last.

    Attributes
    ----------
    prefix
        Of structure_id.
    kind
        "explore": from all trajectories, up to their failure; "md": from those that reached their end.
    start
        Draws a frame to start from, with its `info`; None if the draw got stuck.
    temperatures_k
        Of the Langevin thermostat, one trajectory after the other.
    n_trajectories, per_trajectory
        How many trajectories are used, and snapshots of each.
    n_high
        One snapshot each of so many trajectories is labelled at both levels, the others at PBE.
    units
        Structural units that dynamics has to leave whole.
    volume
        Largest relative change of the starting frame's volume.
    duration_ps, equilibration_ps, time_step_fs, interval_ps
        Of a trajectory, what is left out at its start, and between the snapshots to choose from.
    stream
        Of the random numbers that starts are drawn with: rounds of one stream start from the same cells.
    """

    prefix: str
    start: Callable[[np.random.Generator], Made | None]
    temperatures_k: tuple[float, ...]
    n_trajectories: int
    n_high: int
    kind: Literal["explore", "md"] = "md"
    units: Sequence[Unit] = ()
    per_trajectory: int = 2
    volume: float = 0.05
    duration_ps: float = 2.0
    equilibration_ps: float = 0.5
    time_step_fs: float = 1.0
    interval_ps: float = 0.1
    stream: int = _STREAM


def sampler(frames: Sequence[Atoms], low_labels: str = "EFS", progress: Progress | None = None) -> Potential:
    """Train a potential on all labels that there are, PBE and r2SCAN, as `sampler.yml` says.

    Parameters
    ----------
    frames
        Labelled frames; a tenth of those with r2SCAN labels (four at least) is for model selection.
    low_labels
        PBE labels to learn.
    """
    from mfbench.mfcore.training.budget import Budget
    from mfbench.strategies.registry import make_arm

    high = nested_order([a for a in frames if has_label(a, HIGH, Label.ENERGY)], seed=SAMPLER_SEED, draw=0)
    if len(high) < 12:
        raise DataError(
            f"{len(high)} frames with labels of {HIGH}: too few to train the potential that samples.",
            hint="Label the first round, convert it, then sample.",
        )
    n_validation = max(4, len(high) // 10)
    held = {id_of(a) for a in high[:n_validation]}
    low = [a for a in frames if has_label(a, LOW, Label.ENERGY) and id_of(a) not in held]
    labels = {LOW: LabelSet.parse(low_labels), HIGH: LabelSet.parse("EF")}
    data = TrainingSet((LOW, HIGH), {LOW: low, HIGH: high[n_validation:]}, labels, high[:n_validation])
    recipe = yaml.safe_load(resources.files(__package__).joinpath("sampler.yml").read_text(encoding="utf-8"))
    arm = make_arm(recipe["arm"], recipe["settings"])
    return arm.fit(data, Budget(recipe["atom_gradients"]), SAMPLER_SEED, progress=progress)


def by_dynamics(
    plan: DynamicsRound, potential: Potential, known: Sequence[Atoms], progress: Progress | None = None
) -> list[Atoms]:
    """Run the dynamics and choose snapshots.

    Returns
    -------
    list of Atoms
        `per_trajectory` frames of each trajectory, with structure_id, group (the trajectory, unless the start has one
        already), kind, temperature_K, time_ps, what the start's `info` has, and levels.

    Raises
    ------
    DataError
        If too few trajectories have a frame to choose from: the potential is too weak.
    """
    from mfbench.mfcore.dynamics.calibration import Reference
    from mfbench.mfcore.dynamics.engine import simulate
    from mfbench.mfcore.dynamics.models import PotentialForces
    from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start
    from mfbench.mfcore.dynamics.trajectory import read_trajectory
    from mfbench.mfcore.training.progress import silent

    n_tried = plan.n_trajectories + plan.n_trajectories // 4
    first = collect(plan.prefix, lambda generator: _start(plan, generator), n_tried, stream=(plan.stream,))
    heat = [plan.temperatures_k[k % len(plan.temperatures_k)] for k in range(n_tried)]
    settings = DynamicsSettings(
        duration_ps=plan.duration_ps,
        time_step_fs=plan.time_step_fs,
        friction_per_ps=_FRICTION_PER_PS,
        record_every=round(1000.0 * plan.interval_ps / plan.time_step_fs),
    )
    criteria = Reference.from_frames(known).criteria(
        plan.units, pair_fraction=0.75, broken_time_fs=100.0, temperature_factor=_HEAT_FACTOR
    )
    with tempfile.TemporaryDirectory() as folder:
        run = simulate(
            PotentialForces(potential),
            [Start(atoms, t, k) for k, (atoms, t) in enumerate(zip(first, heat, strict=True))],
            settings,
            criteria,
            seed=SAMPLER_SEED,
            out=Path(folder),
            trajectories=True,
            progress=progress or silent,
        )
        usable = ("survived", "failure") if plan.kind == "explore" else ("survived",)
        candidates: list[list[Atoms]] = []
        for result in run.results:
            k = result.replica
            if result.status in usable and len(candidates) < plan.n_trajectories:
                frames = enumerate(read_trajectory(run.trajectories[k]).frames())
                times = [(atoms, number * plan.interval_ps) for number, atoms in frames]
                found = [_snapshot(a, first[k], heat[k], t, plan.kind) for a, t in times if t > plan.equilibration_ps]
                candidates += [found] if len(found) >= plan.per_trajectory else []
    if len(candidates) < plan.n_trajectories:
        modes = sorted({str(r.mode) for r in run.with_status("failure")})
        raise DataError(
            f"{len(candidates)} of {n_tried} trajectories have frames to choose from (failures: {', '.join(modes)}); "
            f"{plan.n_trajectories} are needed.",
            hint="Label more before dynamics is sampled.",
        )
    chosen = _novel([atoms for frames in candidates for atoms in frames], known, plan.per_trajectory)
    both = set(list(dict.fromkeys(str(a.info["trajectory"]) for a in chosen))[: plan.n_high])
    for atoms in chosen:
        trajectory = str(atoms.info["trajectory"])
        atoms.info["levels"] = f"{LOW}+{HIGH}" if trajectory in both else LOW
        both.discard(trajectory)
    return chosen


def _start(plan: DynamicsRound, generator: np.random.Generator) -> Made | None:
    made = plan.start(generator)
    if made is None:
        return None
    atoms, info = made
    volume = 1.0 + generator.uniform(-plan.volume, plan.volume)
    atoms.set_cell(atoms.cell * volume ** (1 / 3), scale_atoms=True)
    return atoms, info


def _snapshot(atoms: Atoms, start: Atoms, temperature_k: float, time_ps: float, kind: str) -> Atoms:
    made = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    made.wrap()
    trajectory = id_of(start)
    made.info = {
        **start.info,
        "structure_id": f"{trajectory}-{round(1000 * time_ps):05d}fs",
        "group": start.info.get("group", trajectory),
        "kind": kind,
        "trajectory": trajectory,
        "temperature_K": float(temperature_k),
        "time_ps": round(time_ps, 6),
    }
    return made


def _novel(candidates: Sequence[Atoms], known: Sequence[Atoms], per_trajectory: int) -> list[Atoms]:
    """Choose snapshots of every trajectory, one after the other the one that is farthest from what there is.

    Frames are compared by their partial radial distribution functions; frames of other compositions are infinitely far.
    """
    table = _fingerprints([*candidates, *known])
    here, there = table[: len(candidates)], table[len(candidates) :]
    nearest = np.full(len(candidates), np.inf)
    keys = [str(a.symbols.formula.format("hill")) for a in candidates]
    for key in set(keys):
        mine = [i for i, other in enumerate(keys) if other == key]
        theirs = [i for i, a in enumerate(known) if str(a.symbols.formula.format("hill")) == key]
        if theirs:
            nearest[mine] = cdist(here[mine], there[theirs]).min(axis=1)
    left = dict.fromkeys((str(a.info["trajectory"]) for a in candidates), per_trajectory)
    order: list[int] = []
    while any(left.values()):
        open_ = np.array([left[str(a.info["trajectory"])] > 0 and i not in order for i, a in enumerate(candidates)])
        best = int(np.argmax(np.where(open_, nearest, -1.0)))
        order.append(best)
        left[str(candidates[best].info["trajectory"])] -= 1
        same = [i for i, key in enumerate(keys) if key == keys[best]]
        nearest[same] = np.minimum(nearest[same], np.linalg.norm(here[same] - here[best], axis=1))
    return [candidates[i] for i in sorted(order)]


def _fingerprints(frames: Sequence[Atoms]) -> np.ndarray:
    """(n, features) histograms of distances by pair of elements, per atom, smoothed over neighbouring bins."""
    elements = sorted({int(z) for atoms in frames for z in atoms.numbers})
    pairs = {(a, b): k for k, (a, b) in enumerate((a, b) for a in elements for b in elements if a <= b)}
    table = np.zeros((len(frames), len(pairs), _BINS))
    for row, atoms in enumerate(frames):
        sender, receiver, shift = neighbour_list(atoms, _CUTOFF_A)
        distances = np.linalg.norm(atoms.positions[sender] - atoms.positions[receiver] + shift, axis=1)
        kinds = np.sort(np.stack([atoms.numbers[sender], atoms.numbers[receiver]], 1), axis=1)
        for pair, place in pairs.items():
            chosen = distances[(kinds == pair).all(1)]
            table[row, place] = np.histogram(chosen, _BINS, (0.0, _CUTOFF_A))[0] / len(atoms)
    smooth = (np.roll(table, 1, 2) + 2 * table + np.roll(table, -1, 2)) / 4
    return smooth.reshape(len(frames), -1)
