"""Numbers as JSON can hold them."""

from __future__ import annotations

import math


def finite(value: float, digits: int | None = None, *, decimals: int | None = None) -> float | None:
    """Return a number, or None for NaN and infinities; rounded to significant digits or to decimals if so asked."""
    if not math.isfinite(value):
        return None
    if decimals is not None:
        return float(f"{value:.{decimals}f}")
    return float(f"{value:.{digits}g}") if digits else float(value)
