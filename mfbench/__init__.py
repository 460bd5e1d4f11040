"""Which multi-fidelity training strategy gives the best interatomic potential for a budget.

The three packages of a clone are installed inside of this one: :mod:`mfbench.mfcore` (core, training, potentials),
:mod:`mfbench.strategies` (the arms) and :mod:`mfbench.benchmarks` (tasks, harness, reports).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential, load

__all__ = ["Potential", "load"]


def __getattr__(name: str) -> Any:
    # torch and ase take a second to import: only where they are needed
    if name in __all__:
        from mfbench.mfcore.potentials import potential

        return getattr(potential, name)
    raise AttributeError(f"module 'mfbench' has no attribute '{name}'")
