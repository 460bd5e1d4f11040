"""Stability of dynamics on a potential: seeded NVT from HF test frames until a failure or a physical-time limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator

from mfbench.benchmarks.observables.base import DetailTables, Observable, Words
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.dynamics import MD, DynamicsPlan, Temperature, criteria_of, start_frames
from mfbench.benchmarks.observables.evaluation import Evaluation, metric_row

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Split, Task
    from mfbench.mfcore.dynamics.criteria import FailureCriteria
    from mfbench.mfcore.dynamics.settings import Start
    from mfbench.mfcore.metrics.intervals import Interval
    from mfbench.mfcore.potentials.potential import Potential

DRIFT_TEMPERATURE_K = 300.0


class StabilityPlan(DynamicsPlan):
    """How long dynamics on a potential lasts.

    A replica starts from a frame of dynamics at its temperature or below, where frames say at which (temperature_K):
    the excess of a hot or a rattled frame would heat a cold replica beyond any sane limit, whatever the potential.
    """

    temperatures_k: tuple[Temperature, ...] = Field(
        (300.0,), min_length=1, description="Of the Langevin thermostat, K."
    )
    duration_ps: float = Field(1.0, gt=0, description="Physical-time limit; a replica that reaches it has survived.")
    time_step_fs: float = Field(0.5, gt=0)
    starts: int = Field(8, ge=1, description="HF test frames per temperature to start from, evenly from each split.")
    replicas: int = Field(1, ge=1, description="Replicas of each start and temperature.")
    friction_per_ps: float = Field(5.0, gt=0)
    drift_ps: float = Field(0.0, ge=0, description="Length of the NVE runs at 300 K for the energy drift; 0: none.")
    wall_limit_s: float = Field(600.0, gt=0, description="Wall time after which replicas end as errors.")

    @model_validator(mode="after")
    def _at_least_a_step(self) -> StabilityPlan:
        for key in ("duration_ps", "drift_ps"):
            length = getattr(self, key)
            if length and round(1000.0 * length / self.time_step_fs) < 1:
                raise ValueError(f"{key} {length:g}: shorter than one step of {self.time_step_fs:g} fs")
        return self


class Stability(Observable[StabilityPlan]):
    """How long dynamics on a potential lasts, and how its energy drifts."""

    name = "stability"
    summary = "survival of molecular dynamics, and the energy drift of its microcanonical part"
    plan_class = StabilityPlan
    rank = 10
    former_keys = ("md",)
    sources = (
        "mfbench.benchmarks.observables.dynamics",
        "mfbench.mfcore.dynamics",
        "mfbench.mfcore.metrics.survival",
        "mfbench.mfcore.metrics.drift",
    )
    metrics = (
        Metric("md_survival_fraction_{T}K", "survived {T} K", "fraction survived at {T} K", "", "higher", "stability"),
        Metric("md_rmst_ps_{T}K", "RMST {T} K", "restricted mean survival time at {T} K", "ps", "higher", "stability"),
        Metric(
            "nve_drift_mev_per_atom_per_ps", "NVE drift", "NVE energy drift", "meV/atom/ps", "nearer zero", "stability"
        ),
    )
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "survival": {
            "temperature_k": "float64",
            "replica": "int64",
            "start": "str",
            "time_ps": "float64",
            "limit_ps": "float64",
            "status": "str",
            "mode": "str",
        },
        "drift": {"replica": "int64", "start": "str", "drift_mev_per_atom_per_ps": "float64", "time_ps": "float64"},
    }
    sections = (
        Section(
            "stability",
            "MD stability",
            "survived: fraction of MD replicas that reach the time limit; RMST: restricted mean survival time; "
            "engine errors and timeouts are in neither.",
            own_rate="survived ",
        ),
    )
    figures: ClassVar[Mapping[str, str]] = {"survival": "mfbench.benchmarks.observables.stability.figure"}
    interval_note = "± of RMST: half of the 95 % bootstrap interval over the starting frames of the one run."

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: StabilityPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Run the dynamics, see :func:`stability`."""
        return stability(potential, task, split, plan, seed)

    def words(self, family: str, details: DetailTables) -> Words:
        """Count the replicas, and their failures by mode."""
        from mfbench.benchmarks.observables.stability.report import failures

        return failures(details("survival"))

    def interval(self, metric: str, arm: str, details: DetailTables, plain: Interval) -> tuple[Interval, int] | None:
        """Give the mean survival time of an arm's only run an interval over its starting frames."""
        from mfbench.benchmarks.observables.stability.report import over_starts

        return over_starts(details("survival"), arm, metric, plain)


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
    model = PotentialForces(potential, watch=False)  # close pairs are counted as failures
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
