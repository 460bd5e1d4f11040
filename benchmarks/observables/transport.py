"""Diffusion of an ion in a potential's own dynamics: diffusivities, activation energy and ionic conductivity."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from mfbench.benchmarks.observables.stability import MD, DynamicsPlan, criteria_of
from mfbench.benchmarks.tasks.base import Evaluation, Task, metric_row
from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.observables import Transport
    from mfbench.mfcore.dynamics.results import DynamicsRun
    from mfbench.mfcore.dynamics.settings import DynamicsSettings
    from mfbench.mfcore.metrics.transport import Diffusion
    from mfbench.mfcore.potentials.potential import Potential

log = logging.getLogger("mfbench")

CONDUCTIVITY_K = 300.0
"""Temperature that the conductivity is extrapolated to, K."""

LAGS = (0.1, 0.5)
"""Lags that a mean-squared displacement is fitted between, as fractions of a block."""

MOVED_LEVEL, MOVED_A2 = 0.90, 1.0
"""A species moves if the interval of its diffusivity at this level (one-sided: 95 %) is above zero, and its
mean-squared displacement grows by this much, Å², in the time that is looked at.

Around fixed sites the slope of the mean-squared displacement is zero up to noise, and positive half of the time. Less
growth than this is less than one jump of 2 to 3 Å by every sixth ion, which is too few to measure a rate with.
"""

MOST_LAGS = 40
"""Of the stored mean-squared displacements, evenly in their logarithm: from one record to half of what is looked at."""

LEAST_RECORDS = 10
"""Records in a block: fewer leave too few lags for a line."""


class TransportPlan(DynamicsPlan):
    """Dynamics at several temperatures, to see an ion diffuse."""

    species: str = Field("Li", description="Element that diffuses.")
    charge: float = Field(1.0, gt=0, description="Of its ion, in elementary charges.")
    temperatures_k: tuple[float, ...] = Field(
        (600.0, 800.0, 1000.0),
        min_length=1,
        description="K. Two make a line of ln D against 1/T, three or more say how straight it is.",
    )
    duration_ps: float = Field(100.0, gt=0, description="Of each replica; who does not reach it is left out.")
    time_step_fs: float = Field(2.0, gt=0)
    replicas: int = Field(1, ge=1, description="Of each cell and temperature.")
    # In Kramers' theory friction γ slows the crossing of a barrier of (imaginary) frequency ω by γ/2ω; for Li, with ω
    # of the order of 20/ps, that is a few per cent at 1/ps and more than a tenth at the 5/ps of the survival runs.
    friction_per_ps: float = Field(1.0, gt=0, description="Of the Langevin thermostat; a strong one slows diffusion.")
    equilibration: float = Field(0.1, ge=0, lt=1, description="Fraction of each trajectory left out at its start.")
    blocks: int = Field(5, ge=2, description="Of each trajectory, for the error; longer than jumps are correlated.")
    record_fs: float = Field(50.0, gt=0, description="Between stored positions.")
    wall_limit_s: float = Field(1800.0, gt=0, description="Wall time after which replicas end as errors.")

    @field_validator("species")
    @classmethod
    def _element(cls, value: str) -> str:
        if value not in chemical_symbols[1:]:
            raise ValueError(f"'{value}' is no element")
        return value

    @field_validator("temperatures_k")
    @classmethod
    def _temperatures(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if min(values) <= 0 or len(set(values)) < len(values):
            raise ValueError("expected different temperatures above 0 K")
        return values

    @model_validator(mode="after")
    def _blocks_are_long_enough(self) -> TransportPlan:
        for longer, shorter in (("record_fs", "time_step_fs"), ("duration_ps", "record_fs")):
            ratio = getattr(self, longer) * (1000.0 if longer == "duration_ps" else 1.0) / getattr(self, shorter)
            if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6 * ratio:
                raise ValueError(f"{longer}: expected a multiple of {shorter}")
        size = self.n_kept // self.blocks
        if size < LEAST_RECORDS:
            raise ValueError(
                f"blocks: one has {size} records, expected {LEAST_RECORDS} or more; run longer (duration_ps), record "
                "more often (record_fs) or take fewer blocks"
            )
        return self

    @property
    def n_kept(self) -> int:
        """Records of a trajectory after its equilibration."""
        records = round(1000.0 * self.duration_ps / self.record_fs) + 1
        return records - int(self.equilibration * records)

    @property
    def settings(self) -> DynamicsSettings:
        """How to integrate."""
        from mfbench.mfcore.dynamics.settings import DynamicsSettings

        return DynamicsSettings(
            duration_ps=self.duration_ps,
            time_step_fs=self.time_step_fs,
            friction_per_ps=self.friction_per_ps,
            record_every=round(self.record_fs / self.time_step_fs),
        )


def transport_cells(task: Task, plan: TransportPlan) -> list[Atoms]:
    """Cells of a task that a plan's dynamics starts from.

    A task with such cells has a method `transport_frames()` that returns them: periodic, labels are not needed.

    Raises
    ------
    ConfigError
        If the task has none, or one that is not periodic or lacks the species.
    """
    given = getattr(task, "transport_frames", None)
    cells: list[Atoms] = [] if given is None else list(given())
    if not cells:
        raise ConfigError("this task has no cells to see ions diffuse in; remove the key.")
    for number, atoms in enumerate(cells):
        if not atoms.pbc.all() or plan.species not in atoms.get_chemical_symbols():
            name = atoms.info.get("structure_id", number)
            raise ConfigError(f"cell '{name}': expected a periodic cell with {plan.species} in it.")
    return cells


def transport(potential: Potential, task: Task, plan: TransportPlan, seed: int, workdir: Path) -> Evaluation:
    """Run the dynamics of a plan on a potential, all cells, temperatures and replicas in one batch.

    Parameters
    ----------
    workdir
        Where trajectories and a checkpoint are kept; a call that was cut off goes on.

    Returns
    -------
    Evaluation
        See :func:`measure`. Nothing for a potential that needs calculations of a lower level with every step.

    Raises
    ------
    ConfigError
        If the task has no cells for it.
    """
    from mfbench.mfcore.dynamics.engine import simulate
    from mfbench.mfcore.dynamics.models import PotentialForces
    from mfbench.mfcore.dynamics.settings import starts

    if potential.requires_low_labels:
        return Evaluation([])
    cells = transport_cells(task, plan)
    model = PotentialForces(potential)
    run = simulate(
        model,
        starts(cells, plan.temperatures_k, plan.replicas),
        plan.settings,
        criteria_of(task, plan, cells),
        seed=seed,
        # A training that was cut off may end elsewhere: its dynamics must not go on from another potential's.
        out=workdir / f"transport-{model.fingerprint()[:16]}",
        trajectories=True,
        wall_limit_s=plan.wall_limit_s,
    )
    return measure(run, plan)


def measure(run: DynamicsRun, plan: TransportPlan) -> Evaluation:
    """Transport from finished dynamics, of the replicas that survived.

    Parameters
    ----------
    run
        With trajectories, at the temperatures of the plan.

    Returns
    -------
    Evaluation
        Rows, all with split "md". At each temperature: the fraction of replicas that survived (n: that failed or
        survived); of the survivors (their number is n) the mean-squared displacement of each element at the longest
        lag of the fit (Å²) and the diffusivity (cm²/s), left out where the species does not move (`MOVED_LEVEL`).
        From two temperatures on: the activation energy (eV) and the conductivity at 300 K by Nernst-Einstein (mS/cm)
        with the bounds of its 95 % interval. Details "transport", one line a replica, and "msd", the mean-squared
        displacement of each element against the lag.
    """
    from mfbench.mfcore.dynamics.observables import transport_at, transport_records

    prefix = plan.species.lower()
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    own: dict[int, Diffusion] = {}
    moving: dict[float, Diffusion] = {}
    densities: list[float] = []
    for kelvin in plan.temperatures_k:
        found = transport_at(
            run, kelvin, plan.species, n_blocks=plan.blocks, fit=LAGS, equilibration=plan.equilibration
        )
        n, whole = found.n_survived, found.pooled
        if found.n:
            rows.append(metric_row(MD, f"transport_survival_fraction_{kelvin:g}K", "", n / found.n, found.n))
        if whole is None:
            log.warning("transport at %g K: no replica survived; no diffusivity.", kelvin)
            continue
        own |= found.diffusions
        scored, lines = _displacements(found, plan)
        rows += scored
        curves += lines
        middle, error = whole.diffusivity_cm2_per_s, whole.stderr_cm2_per_s
        if not _moves(whole, plan):
            words = "transport at %g K: %s does not move, D = %.1e ± %.1e cm²/s (standard error); no diffusivity."
            log.warning(words, kelvin, plan.species, middle, error)
            continue
        rows.append(metric_row(MD, f"{prefix}_diffusivity_cm2_per_s_{kelvin:g}K", "cm²/s", middle, n))
        moving[kelvin] = whole
        densities += found.number_densities_per_A3
    rows += _extrapolated(moving, float(np.mean(densities)) if densities else float("nan"), plan)
    return Evaluation(rows, {"transport": transport_records(run, plan.species, own), "msd": curves})


def _moves(found: Diffusion, plan: TransportPlan) -> bool:
    """Whether a diffusivity is more than noise, see `MOVED_LEVEL`."""
    from mfbench.mfcore.metrics.transport import CM2_PER_S

    growth = 6.0 * found.diffusivity_cm2_per_s / CM2_PER_S * (1.0 - plan.equilibration) * plan.duration_ps
    return bool(found.interval(MOVED_LEVEL)[0] > 0.0 and growth >= MOVED_A2)


def _displacements(found: Transport, plan: TransportPlan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows on the mean-squared displacements at the longest lag of the fit, and lines of the detail "msd"."""
    kelvin, n = found.temperature_K, found.n_survived
    longest = round(LAGS[1] * (plan.n_kept // plan.blocks))
    shown = np.unique(np.geomspace(1, plan.n_kept // 2, MOST_LAGS).round().astype(int)).tolist()
    lags = sorted({*shown, longest})
    rows, lines = [], []
    for symbol, squares in found.displacements(lags, plan.equilibration).items():
        at = dict(zip(lags, squares.mean(0).tolist(), strict=True))
        rows.append(metric_row(MD, f"{symbol.lower()}_msd_a2_{kelvin:g}K", "Å²", at[longest], n))
        lines += [
            {
                "temperature_k": kelvin,
                "species": symbol,
                "lag_ps": lag * plan.record_fs / 1000.0,
                "msd_a2": at[lag],
                "n_replicas": len(squares),
            }
            for lag in shown
        ]
    return rows, lines


def _extrapolated(moving: Mapping[float, Diffusion], density: float, plan: TransportPlan) -> list[dict[str, Any]]:
    """Rows on the Arrhenius line through the temperatures at which the species moves."""
    from mfbench.mfcore.metrics.transport import arrhenius, conductivity

    if len(moving) < 2:
        log.warning("transport: %s moves at %d temperature(s); no activation energy.", plan.species, len(moving))
        return []
    prefix, n = plan.species.lower(), sum(found.n_trajectories for found in moving.values())
    made = conductivity(moving, density, CONDUCTIVITY_K, charge=plan.charge)
    values = {
        f"{prefix}_conductivity_ms_per_cm": made.conductivity_mS_per_cm,
        f"{prefix}_conductivity_low_ms_per_cm": made.low_mS_per_cm,
        f"{prefix}_conductivity_high_ms_per_cm": made.high_mS_per_cm,
    }
    rows = [metric_row(MD, f"{prefix}_activation_energy_ev", "eV", arrhenius(moving).activation_energy_eV, n)]
    # A line through three temperatures may leave room for any number: that is no bound
    return rows + [
        metric_row(MD, f"{m}_{CONDUCTIVITY_K:g}K", "mS/cm", v, n) for m, v in values.items() if np.isfinite(v)
    ]
