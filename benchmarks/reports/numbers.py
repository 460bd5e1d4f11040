"""How numbers are written."""

from __future__ import annotations

import math

MISSING = "–"


def number(value: float, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, without an exponent where a table can hold it."""
    if not math.isfinite(value):
        return MISSING
    if value == 0.0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -4 <= magnitude < 9:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:.{max(decimals, 0)}f}"


def with_error(value: float, error: float, joint: str = " ± ") -> str:
    """Write `value ± error`, the error with two significant digits and the value with as many decimals."""
    if not math.isfinite(error):
        return number(value)
    if error <= 0.0:
        return f"{number(value)}{joint}0"
    decimals = max(1 - math.floor(math.log10(float(f"{error:.1e}"))), 0)
    if decimals > 6 or error >= 1e7:
        # One exponent for both, as in (2.00 ± 0.11)e-9; without brackets, as siunitx reads it.
        power = math.floor(math.log10(max(abs(value), error)))
        places = max(1 - math.floor(math.log10(float(f"{error / 10.0**power:.1e}"))), 0)
        return f"{value / 10.0**power:.{places}f}{joint}{error / 10.0**power:.{places}f}e{power}"
    return f"{value:.{decimals}f}{joint}{error:.{decimals}f}"
