"""Lines about plug-ins of other packages that commands leave out or do not take."""

from __future__ import annotations

GROUPS = {
    "arms": ("arm", "mfbench.strategies"),
    "tasks": ("task", "mfbench.tasks"),
    "cores": ("core", "mfbench.cores"),
    "observables": ("observable", "mfbench.observables"),
}
"""Word and entry-point group of each kind that `mfbench list` lists."""


def clashing(kind: str) -> list[str]:
    """Lines about the names of a kind that several packages bring; none of kinds that are no plug-ins."""
    from mfbench.mfcore.plugins import clashes

    return [f"warning: {line}" for line in clashes(*GROUPS[kind])] if kind in GROUPS else []


def say_plugins() -> None:
    """Say on stderr which names several packages bring, and which arms and observables cannot be used, and why."""
    from rich.console import Console

    from mfbench.benchmarks.observables.registry import unusable_observables
    from mfbench.strategies.registry import unusable_arms

    console = Console(stderr=True)
    left_out = [
        f"left out: {reason}" for reasons in (unusable_arms(), unusable_observables()) for reason in reasons.values()
    ]
    for line in [line for kind in GROUPS for line in clashing(kind)] + left_out:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
