"""Phases of chemical systems, as a task offers them to observables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ase import Atoms

from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Task


@runtime_checkable
class PhasesTask(Protocol):
    """Phases whose stability is asked for; every frame has an HF energy."""

    def phases(self) -> Sequence[Atoms]:
        """Near-relaxed structures of compounds, or of an alloy, and of every component that they are made of.

        Raises
        ------
        ConfigError
            If the data have none.
        """

    def components(self) -> Sequence[Mapping[str, int]] | None:
        """Number of atoms by element of each component that energies of formation are relative to.

        None: the elements.
        """


def phases_of(task: Task, observable: str) -> PhasesTask:
    """Give the task as one with phases; cheap, to be asked before anything is trained.

    Parameters
    ----------
    observable
        Name of the observable that asks, for the message.

    Raises
    ------
    ConfigError
        If the task has no phases.
    """
    if not isinstance(task, PhasesTask):
        raise ConfigError(
            f"{observable}: task '{task.name}' has no phases of a chemical system; leave the key out for it."
        )
    task.phases()
    return task


def composition(atoms: Atoms) -> dict[str, int]:
    """Number of atoms by element."""
    return dict(sorted(Counter(atoms.get_chemical_symbols()).items()))
