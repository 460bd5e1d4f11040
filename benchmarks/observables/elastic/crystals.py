"""Crystals whose elastic moduli are known, as a task offers them to the observable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ase import Atoms

from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Task


@dataclass(frozen=True)
class ElasticCrystal:
    """A crystal with reference moduli.

    Attributes
    ----------
    atoms
        Near-relaxed, with `structure_id`.
    bulk_modulus_gpa, shear_modulus_gpa
        Voigt-Reuss-Hill averages of the reference.
    """

    atoms: Atoms
    bulk_modulus_gpa: float
    shear_modulus_gpa: float


@runtime_checkable
class ElasticTask(Protocol):
    """A task with crystals of known moduli."""

    def elastic_crystals(self) -> Sequence[ElasticCrystal]:
        """Crystals with the moduli of the reference.

        Raises
        ------
        ConfigError
            If the data have none.
        """


def crystals_of(task: Task, observable: str) -> Sequence[ElasticCrystal]:
    """Give the crystals of a task; cheap, to be asked before anything is trained.

    Raises
    ------
    ConfigError
        If the task has none.
    """
    if not isinstance(task, ElasticTask):
        raise ConfigError(
            f"{observable}: task '{task.name}' has no crystals of known moduli; leave the key out for it."
        )
    return task.elastic_crystals()
