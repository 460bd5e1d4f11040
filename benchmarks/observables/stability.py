"""How long dynamics on a potential lasts: seeded NVT from HF test frames until a failure or a physical-time limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field

from mfbench.benchmarks.tasks.base import SPLIT_SEED, Evaluation, Split, Task, metric_row
from mfbench.mfcore.data.splits import group_of, nested_order

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.criteria import FailureCriteria
    from mfbench.mfcore.dynamics.settings import Start
    from mfbench.mfcore.potentials.potential import Potential

MD = "md"
"""What stands in the column `split` of rows on dynamics."""

DRIFT_TEMPERATURE_K = 300.0


class DynamicsPlan(BaseModel):
    """Dynamics that every potential of a comparison is put through; the same starts and random numbers for all arms.

    Criteria of failure are derived from the labelled frames of the task; see :mod:`mfbench.mfcore.dynamics.criteria`.
    What has no default here has one in each kind of plan.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperatures_k: tuple[float, ...]
    duration_ps: float
    time_step_fs: float
    replicas: int
    friction_per_ps: float
    wall_limit_s: float
    pair_fraction: float = Field(0.75, gt=0, description="Closest approach, as a fraction of the frames' minimum.")
    bond_tolerance_a: float = Field(0.5, gt=0, description="How far a molecular bond may be off its mean, Å.")
    broken_time_fs: float = Field(100.0, ge=0, description="How long a bond or unit may be broken.")


class StabilityPlan(DynamicsPlan):
    """How long dynamics on a potential lasts.

    A replica starts from a frame of dynamics at its temperature or below, where frames say at which (temperature_K):
    what a hot or a rattled frame has in excess would heat a cold replica beyond any sane limit, whatever the potential.
    """

    temperatures_k: tuple[float, ...] = Field((300.0,), min_length=1, description="Of the Langevin thermostat, K.")
    duration_ps: float = Field(1.0, gt=0, description="Physical-time limit; who reaches it has survived.")
    time_step_fs: float = Field(0.5, gt=0)
    starts: int = Field(8, ge=1, description="HF test frames per temperature to start from, evenly from each split.")
    replicas: int = Field(1, ge=1, description="Replicas of each start and temperature.")
    friction_per_ps: float = Field(5.0, gt=0)
    drift_ps: float = Field(0.0, ge=0, description="Length of the NVE runs at 300 K for the energy drift; 0: none.")
    wall_limit_s: float = Field(600.0, gt=0, description="Wall time after which replicas end as errors.")


def stability(potential: Potential, task: Task, split: Split, plan: StabilityPlan, seed: int) -> Evaluation:
    """Run the dynamics of a plan on a potential.

    Returns
    -------
    Evaluation
        Rows, all with split "md": for each temperature the fraction of replicas that survived and the restricted
        mean survival time in ps (n: replicas that failed or survived), and the median absolute NVE drift in
        meV/atom/ps. Details "survival" and "drift", one line a replica. Nothing for a potential that needs
        calculations of a lower level with every step.
    """
    from mfbench.mfcore.dynamics.engine import simulate
    from mfbench.mfcore.dynamics.models import PotentialForces
    from mfbench.mfcore.dynamics.settings import DynamicsSettings, starts
    from mfbench.mfcore.metrics.survival import survival

    if potential.requires_low_labels:
        return Evaluation([])
    model = PotentialForces(potential)
    frames = {temperature: start_frames(split, plan.starts, temperature) for temperature in plan.temperatures_k}
    criteria = criteria_of(task, plan, [a for part in frames.values() for a in part])
    settings = DynamicsSettings(
        duration_ps=plan.duration_ps, time_step_fs=plan.time_step_fs, friction_per_ps=plan.friction_per_ps
    )
    run = simulate(
        model,
        numbered([s for t, part in frames.items() for s in starts(part, [t], plan.replicas)]),
        settings,
        criteria,
        seed=seed,
        wall_limit_s=plan.wall_limit_s,
    )
    rows: list[dict[str, Any]] = []
    for temperature in plan.temperatures_k:
        lifetimes = run.lifetimes(temperature)
        decided = [x for x in lifetimes if x.status != "error"]
        if not decided:
            continue
        found = survival(lifetimes, plan.duration_ps, n_resamples=1)
        label = f"{temperature:g}K"
        fraction = found.n_survived / found.n
        rows.append(metric_row(MD, f"md_survival_fraction_{label}", "", fraction, found.n))
        rows.append(metric_row(MD, f"md_rmst_ps_{label}", "ps", found.rmst_ps, found.n))
    details = {"survival": run.records(plan.duration_ps)}
    if plan.drift_ps > 0.0:
        cold = start_frames(split, plan.starts, DRIFT_TEMPERATURE_K)
        details["drift"] = _drift(model, cold, plan, criteria, seed)
        drifts = [abs(line["drift_mev_per_atom_per_ps"]) for line in details["drift"]]
        if drifts:
            middle = float(np.median(drifts))
            rows.append(metric_row(MD, "nve_drift_mev_per_atom_per_ps", "meV/atom/ps", middle, len(drifts)))
    return Evaluation(rows, details)


def numbered(starts: Sequence[Start]) -> list[Start]:
    """Starts of several simulations in one: each with a number, and so random numbers, of its own."""
    return [replace(start, replica=number) for number, start in enumerate(starts)]


def start_frames(split: Split, n: int, temperature_k: float) -> list[Atoms]:
    """HF test frames to start from: evenly from each test split, from as many groups as there are.

    Where frames of a split say at which temperature they were sampled, those up to the given one are taken, or if
    there are none the coldest.
    """
    chosen: list[Atoms] = []
    share = math.ceil(n / len(split.tests))
    for everything in split.tests.values():
        heat = [float(a.info.get("temperature_K", np.inf)) for a in everything]
        limit = max(temperature_k, min(heat))
        frames = [a for a, sampled in zip(everything, heat, strict=True) if sampled <= limit]
        order = nested_order(frames, seed=SPLIT_SEED, draw=0)
        seen: dict[str, int] = {}
        ranks = []
        for place, atoms in enumerate(order):
            ranks.append((seen.setdefault(group_of(atoms), 0), place))
            seen[group_of(atoms)] += 1
        chosen += [order[place] for _, place in sorted(ranks)[:share]]
    return chosen[:n]


def criteria_of(task: Task, plan: DynamicsPlan, frames: Sequence[Atoms]) -> FailureCriteria:
    """Failure criteria with the closest approaches and bond lengths of the task's frames and its structural units."""
    from mfbench.mfcore.dynamics.calibration import Reference, temperature_factor

    n_steps = round(1000.0 * plan.duration_ps / plan.time_step_fs)
    hottest = temperature_factor(min(len(a) for a in frames), n_steps * len(frames) * plan.replicas)
    return Reference.from_frames(task.frames).criteria(
        task.units(),
        pair_fraction=plan.pair_fraction,
        bond_tolerance=plan.bond_tolerance_a,
        broken_time_fs=plan.broken_time_fs,
        temperature_factor=max(3.0, hottest),
    )


def _drift(
    model: Any, frames: Sequence[Atoms], plan: StabilityPlan, criteria: FailureCriteria, seed: int
) -> list[dict[str, Any]]:
    from mfbench.mfcore.dynamics.engine import simulate
    from mfbench.mfcore.dynamics.settings import DynamicsSettings, starts

    settings = DynamicsSettings(
        ensemble="nve", duration_ps=plan.drift_ps, time_step_fs=plan.time_step_fs, record_every=1
    )
    cold = starts(frames, [DRIFT_TEMPERATURE_K])
    run = simulate(model, cold, settings, criteria, seed=seed, wall_limit_s=plan.wall_limit_s)
    return [
        {
            "replica": result.replica,
            "start": result.name,
            "drift_mev_per_atom_per_ps": run.drift(result.replica).drift_meV_per_atom_per_ps,
            "time_ps": result.time_ps,
        }
        for result in run.with_status("survived")
    ]
