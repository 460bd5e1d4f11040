"""Counts of what the long tests have tried, which are printed at the end."""

from __future__ import annotations

from collections import Counter, defaultdict

COUNTS: defaultdict[str, Counter[str]] = defaultdict(Counter)
"""By kind of disturbance, and by command or kind of file."""


MOST: defaultdict[str, float] = defaultdict(float)
"""By quantity, the most that a process took which met a damaged file."""


def lines() -> list[str]:
    """One line a kind."""
    most = [f"most of a process: {', '.join(f'{value:.1f} {what}' for what, value in MOST.items())}"] if MOST else []
    return most + [
        f"{kind}: {sum(found.values())} ({', '.join(f'{name} {n}' for name, n in sorted(found.items()))})"
        for kind, found in COUNTS.items()
    ]
