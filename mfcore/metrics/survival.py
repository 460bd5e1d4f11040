"""How long dynamics lasts before it fails: Kaplan-Meier curves and restricted mean survival times.

A replica that reached the physical-time limit is right-censored there. One that ended by an error of the engine or by
the wall clock says nothing about the potential; it is counted and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ending = Literal["failure", "survived", "error"]


@dataclass(frozen=True)
class Lifetime:
    """How one replica ended.

    Attributes
    ----------
    time_ps
        Physical time at the end, ps.
    status
        "failure", "survived" (right-censored) or "error" (left out).
    group
        Replicas of one group (starting frame, trajectory block) are not independent.
    mode
        Of a failure.
    """

    time_ps: float
    status: Ending
    group: str = ""
    mode: str | None = None


@dataclass(frozen=True)
class Survival:
    """Survival of replicas up to a limit.

    Attributes
    ----------
    time_ps, survival, low, high
        (K,) Kaplan-Meier curve at the times where it steps, from 0, with its pointwise interval (exponential
        Greenwood; NaN where nothing has failed).
    rmst_ps, rmst_low_ps, rmst_high_ps
        Restricted mean survival time: the area under the curve up to the limit. The interval is NaN where no replica
        failed, or none survived any time (a bootstrap has nothing to vary), and where there is one replica.
    limit_ps, level
        The limit, and the intervals' level.
    n, n_failed, n_survived, n_errors, n_groups
        Replicas in the estimate, of these failed and survived; errors, which are not in it; groups of starts.
    modes
        Number of failures by mode.
    """

    time_ps: Array
    survival: Array
    low: Array
    high: Array
    rmst_ps: float
    rmst_low_ps: float
    rmst_high_ps: float
    limit_ps: float
    level: float
    n: int
    n_failed: int
    n_survived: int
    n_errors: int
    n_groups: int
    modes: dict[str, int]


def survival(
    lifetimes: Sequence[Lifetime], limit_ps: float, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> Survival:
    """Kaplan-Meier curve and restricted mean survival time (Kaplan and Meier 1958; Royston and Parmar 2013).

    The interval of the restricted mean is a percentile bootstrap over groups of starts and over the replicas within
    each; with a single group, over replicas, and then it speaks of that start only. With few groups (five, say) it is
    too short, as any bootstrap.

    Parameters
    ----------
    lifetimes
        One a replica.
    limit_ps
        Physical-time limit of the simulations, ps; what lasts longer is censored there.
    level
        Of the intervals.
    n_resamples, seed
        Size of the bootstrap, and the seed of its generator.

    Raises
    ------
    ValueError
        If there is no replica but errors, or a time is negative, not finite, or of a survivor below the limit.
    """
    from lifelines import KaplanMeierFitter
    from lifelines.utils import restricted_mean_survival_time

    used = [x for x in lifetimes if x.status != "error"]
    n_errors = len(lifetimes) - len(used)
    if not used:
        raise ValueError(f"survival: no replica failed or survived ({n_errors} ended by an error).")
    times = np.array([x.time_ps for x in used])
    events = np.array([x.status == "failure" for x in used])
    if not (np.isfinite(times).all() and (times >= 0).all()):
        raise ValueError("survival: a time is negative or not finite.")
    early = ~events & (times < limit_ps * (1 - 1e-9))
    if early.any():
        raise ValueError(
            f"survival: a survivor ended at {times[early][0]} ps, before the limit of {limit_ps} ps; "
            "a simulation that was cut off is an error."
        )
    events &= times <= limit_ps
    times = np.minimum(times, limit_ps)
    fitted = KaplanMeierFitter(alpha=1 - level).fit(times, events)
    bounds = fitted.confidence_interval_.to_numpy(dtype=np.float64)
    curve = fitted.survival_function_
    low, high = np.nan, np.nan
    if len(used) > 1 and 0 < np.minimum(times, limit_ps).sum() < limit_ps * len(used):
        means = _resampled_means(times, events, [x.group for x in used], limit_ps, n_resamples, seed)
        low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    modes: dict[str, int] = {}
    for lifetime, failed in zip(used, events, strict=True):
        if failed:
            modes[lifetime.mode or "unknown"] = modes.get(lifetime.mode or "unknown", 0) + 1
    steps = curve.index.to_numpy(dtype=np.float64)
    alive = curve.to_numpy(dtype=np.float64)[:, 0]
    changed = alive < 1.0
    return Survival(
        time_ps=steps,
        survival=alive,
        low=np.where(changed, bounds[:, 0], np.nan),
        high=np.where(changed, bounds[:, 1], np.nan),
        rmst_ps=float(restricted_mean_survival_time(fitted, t=limit_ps)),
        rmst_low_ps=float(low),
        rmst_high_ps=float(high),
        limit_ps=limit_ps,
        level=level,
        n=len(used),
        n_failed=int(events.sum()),
        n_survived=int((~events).sum()),
        n_errors=n_errors,
        n_groups=len({x.group for x in used}),
        modes=dict(sorted(modes.items())),
    )


def _resampled_means(
    times: Array, events: NDArray[np.bool_], groups: Sequence[str], limit: float, n_resamples: int, seed: int
) -> Array:
    """Restricted means of resamples (n_resamples,): groups with replacement, then replicas within each."""
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(np.asarray(groups) == name) for name in dict.fromkeys(groups)]
    weights = np.zeros((n_resamples, len(times)))
    for row in weights:
        chosen = [members[0]]
        if len(members) > 1:
            chosen = [members[k] for k in generator.integers(0, len(members), len(members))]
        for group in chosen:
            np.add.at(row, group[generator.integers(0, len(group), len(group))], 1.0)
    return restricted_means(times, events, weights, limit)


def restricted_means(times: Array, events: NDArray[np.bool_], weights: Array, limit: float) -> Array:
    """Area under weighted Kaplan-Meier curves up to a limit.

    Parameters
    ----------
    times, events
        (n,) end of each replica, at most `limit`, and whether it failed there.
    weights
        (R, n) how often each counts in each of R curves.
    limit
        In the unit of the times.

    Returns
    -------
    ndarray, shape (R,)
    """
    steps = np.unique(times[events])
    at_risk = weights @ (times[:, None] >= steps).astype(np.float64)
    failed = weights @ ((times[:, None] == steps) & events[:, None]).astype(np.float64)
    factor = np.divide(at_risk - failed, at_risk, out=np.ones_like(at_risk), where=at_risk > 0)
    alive = np.concatenate([np.ones((len(weights), 1)), np.cumprod(factor, axis=1)], axis=1)
    widths = np.diff(np.concatenate([[0.0], steps, [limit]]))
    return np.asarray(alive @ widths)
