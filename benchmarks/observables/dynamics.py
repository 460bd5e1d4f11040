"""Molecular dynamics as observables plan it: starts from test frames, and criteria of failure from a task's frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from ase import Atoms
from pydantic import Field

from mfbench.benchmarks.observables.base import Plan
from mfbench.benchmarks.tasks.base import SPLIT_SEED, Split, Task
from mfbench.mfcore.data.splits import group_of, nested_order

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.criteria import FailureCriteria

MD = "md"
"""Value of the column `split` in rows on dynamics."""


Temperature = Annotated[float, Field(gt=0, le=1e5)]
"""K."""


class DynamicsPlan(Plan):
    """Dynamics that every potential of a comparison is put through; the same starts and random numbers for all arms.

    Criteria of failure are derived from the labelled frames of the task; see :mod:`mfbench.mfcore.dynamics.criteria`.
    A key without a default here has one in each kind of plan.
    """

    temperatures_k: tuple[Temperature, ...]
    duration_ps: float
    time_step_fs: float
    replicas: int
    friction_per_ps: float
    wall_limit_s: float
    pair_fraction: float = Field(0.75, gt=0, description="Closest approach, as a fraction of the frames' minimum.")
    bond_tolerance_a: float = Field(0.5, gt=0, description="How far a molecular bond may be off its mean, Å.")
    broken_time_fs: float = Field(100.0, ge=0, description="How long a bond or unit may be broken.")


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
