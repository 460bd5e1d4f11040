"""Orderings of an alloy, and their energies after relaxation with a potential."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import Field

from mfbench.benchmarks.observables.base import Plan
from mfbench.benchmarks.observables.evaluation import metric_row
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.provenance import frames_hash

if TYPE_CHECKING:
    from mfbench.benchmarks.tasks.base import Task
    from mfbench.mfcore.potentials.potential import Potential

_log = logging.getLogger("mfbench")

MEV = 1000.0
"""meV in an eV."""


class RelaxationPlan(Plan):
    """Relaxation of phases or of the orderings of an alloy, atoms and cell; the same for all arms."""

    fmax_ev_per_a: float = Field(
        0.01, gt=0, description="Relaxed when no force is larger, eV/Å; for the cell: virial per atom, eV."
    )
    max_steps: int = Field(300, ge=1, description="Steps after which a relaxation has failed.")


@runtime_checkable
class AlloyTask(Protocol):
    """An alloy, as a task offers it to observables; every frame has an HF energy."""

    def orderings(self) -> Sequence[Atoms]:
        """Near-relaxed orderings of all compositions, both end members among them.

        Raises
        ------
        ConfigError
            If the data have none.
        """

    def composition(self, atoms: Atoms) -> float:
        """Share of the second end member, 0 to 1."""

    def volume_scans(self) -> Mapping[str, Sequence[Atoms]]:
        """Cells of each end member, by name, at several volumes.

        Raises
        ------
        ConfigError
            If the data have none.
        """


def alloy_of(task: Task, observable: str, *, volume_scans: bool = False) -> AlloyTask:
    """Give the task as an alloy; cheap, to be asked before anything is trained.

    Parameters
    ----------
    observable
        Name of the observable that asks, for the message.
    volume_scans
        The end members at several volumes are needed, too.

    Raises
    ------
    ConfigError
        If the task is no alloy, or its data lack the frames.
    """
    if not isinstance(task, AlloyTask):
        raise ConfigError(f"{observable}: task '{task.name}' has no orderings of an alloy; leave the key out for it.")
    task.orderings()
    if volume_scans:
        task.volume_scans()
    return task


class _Memory:
    """The relaxations that were made last: all observables of an alloy ask for the same ones, one after the other."""

    def __init__(self) -> None:
        self._potential: weakref.ref[Any] | None = None
        self._key: tuple[Any, ...] = ()
        self._energies: NDArray[np.float64] = np.empty(0)

    def recall(self, potential: Any, key: tuple[Any, ...]) -> NDArray[np.float64] | None:
        known = self._potential is not None and self._potential() is potential and self._key == key
        return self._energies.copy() if known else None

    def keep(self, potential: Any, key: tuple[Any, ...], energies: NDArray[np.float64]) -> None:
        self._potential, self._key, self._energies = weakref.ref(potential), key, energies.copy()


_memory = _Memory()


def relaxed_energies_ev(
    potential: Potential, frames: Sequence[Atoms], fidelity: str, plan: RelaxationPlan
) -> NDArray[np.float64]:
    """Relax frames with a potential.

    Returns
    -------
    array
        Energies (n,) in eV after relaxation; NaN where it failed.
    """
    from mfbench.mfcore.potentials.relax import How
    from mfbench.mfcore.potentials.relax_many import relax_many

    key = (fidelity, plan.fmax_ev_per_a, plan.max_steps, frames_hash(frames))
    known = _memory.recall(potential, key)
    if known is not None:
        return known
    how = How(plan.fmax_ev_per_a, plan.max_steps)
    found = dict(relax_many(frames, potential.calculator(fidelity), how))
    problems = {id_of(a): found[number].problem for number, a in enumerate(frames) if found[number].problem}
    if problems:
        name, problem = next(iter(problems.items()))
        _log.warning("%d of %d relaxations failed; %s: %s.", len(problems), len(frames), name, problem)
    energies = np.array([found[number].energy_ev for number in range(len(frames))])
    _memory.keep(potential, key, energies)
    return energies


def metric_rows(split: str, metrics: Sequence[tuple[str, str, float | None]], n: int) -> list[dict[str, Any]]:
    """Make rows of those metrics, (name, unit, value), that have a value."""
    rows = []
    for metric, unit, value in metrics:
        if value is None or np.isnan(value):
            _log.info("%s: no row of %s, which has no value.", split, metric)
        else:
            rows.append(metric_row(split, metric, unit, value, n))
    return rows
