"""The error that more HF labels would give, by the power law of a learning curve, or why it cannot be told."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mfbench.mfcore.metrics.intervals import Array, t_interval
from mfbench.mfcore.metrics.learning_curve import Curve, PowerLaw, Structures, fit_power_law

LEAST_SIZES = 3
"""Set sizes that a power law is extrapolated from: with two, any curve is one."""

MISFIT, BENT = 0.25, 0.05
"""Relative deviation of a mean error from the law beyond which it is no law; and beyond which a bend that is
significant over draws makes it none."""


@dataclass(frozen=True)
class Extrapolation:
    """A learning curve beyond its sizes.

    Attributes
    ----------
    n
        HF labels that the error is extrapolated to.
    law
        The fitted power law; None where none can be fitted.
    estimate, low, high
        Error at `n` with its interval, in the unit of the errors; NaN where it cannot be told, and the interval of a
        single draw.
    reason
        One sentence without a full stop that says why it cannot be told; "" if it can.
    """

    n: float
    law: PowerLaw | None = None
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


def extrapolate(curve: Curve, n: float, level: float = 0.95, structures: Structures | None = None) -> Extrapolation:
    """Extrapolate the power law of a learning curve.

    The interval is over the lines of the draws, each extrapolated by itself, and over groups of test structures where
    they are given. It says how uncertain the line is, and not that the law goes on.

    Parameters
    ----------
    curve
        Errors (positive) by HF set size and (draw, seed).
    n
        HF labels to extrapolate to.
    level
        Confidence level.
    structures
        Of these runs; None: the interval is over draws alone, for these test structures.
    """
    sizes = sorted(size for size, runs in curve.items() if runs)
    if len(sizes) < LEAST_SIZES:
        few = f"finished runs have {len(sizes)} numbers of HF frames, and a power law takes {LEAST_SIZES}"
        return Extrapolation(n, reason=few)
    try:
        law = fit_power_law({size: curve[size] for size in sizes}, level, structures)
    except ValueError as error:
        return Extrapolation(n, reason=str(error).removeprefix("learning curve: ").rstrip("."))
    x, y = np.log(np.array(sizes, dtype=np.float64)), _means(curve, sizes)
    deviation = y.mean(axis=0) - law.intercepts.mean() - law.slopes.mean() * x
    misfit = float(np.expm1(np.abs(deviation)).max())
    if misfit > MISFIT:
        return Extrapolation(n, law, reason=f"the errors are up to {100 * misfit:.0f} % off the law")
    if misfit > BENT and _bends(x, y, level):
        return Extrapolation(n, law, reason="the curve bends: a power law does not go on beyond it")
    exponent = law.exponent
    if not exponent.low > 0.0:
        interval = f"{exponent.estimate:.2g}, {exponent.low:.2g} to {exponent.high:.2g}"
        return Extrapolation(n, law, reason=f"it is not certain that the error falls at all (exponent {interval})")
    found = law.error(n)
    return Extrapolation(n, law, found.estimate, found.low, found.high)


def _means(curve: Curve, sizes: list[int]) -> Array:
    """Mean log error by draw and size, (draws, sizes), of the draws that have them all."""
    draws = sorted(set.intersection(*({draw for draw, _ in curve[size]} for size in sizes)))
    return np.array(
        [
            [np.mean([math.log(error) for (d, _), error in curve[size].items() if d == draw]) for size in sizes]
            for draw in draws
        ]
    )


def _bends(x: Array, y: Array, level: float) -> bool:
    """Say if the mean quadratic coefficient of the draws' log-log curves differs from zero."""
    if len(y) < 2:
        return False
    bends = np.array([np.polyfit(x, line, 2)[0] for line in y])
    low, high = t_interval(bends, level)
    return bool(low > 0.0 or high < 0.0)
