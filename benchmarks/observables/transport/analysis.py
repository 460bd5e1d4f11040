"""Transport from finished dynamics: diffusivities, activation energy and ionic conductivity."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mfbench.benchmarks.observables.dynamics import MD
from mfbench.benchmarks.observables.evaluation import Evaluation, metric_row
from mfbench.benchmarks.observables.transport.plan import TransportPlan

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.observables import Transport
    from mfbench.mfcore.dynamics.results import DynamicsRun
    from mfbench.mfcore.metrics.transport import Diffusion

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
    """Say whether a diffusivity is more than noise, see `MOVED_LEVEL`."""
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
