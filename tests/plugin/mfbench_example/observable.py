"""An observable: whether forces are the derivative of the energy, by finite differences along a random direction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from pydantic import Field

from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.evaluation import Evaluation, metric_row
from mfbench.benchmarks.tasks.base import Split, Task
from mfbench.mfcore.potentials.potential import Potential

METRIC = "conservation_error_mev_per_A"


class ConservationPlan(Plan):
    """How forces are compared with energies."""

    frames: int = Field(4, ge=1, description="Test frames of each split.")
    step_A: float = Field(0.01, gt=0, description="Step of the central difference, Å.")


class Conservation(Observable[ConservationPlan]):
    """Mean of |F·u + dE/du| over frames, with a random unit vector u of all coordinates of a frame."""

    name = "conservation"
    summary = "forces against differences of energies"
    plan_class = ConservationPlan
    rank = 50
    metrics = (Metric(METRIC, "|F + dE/dx|", "force less energy difference", "meV/Å", "lower", "conservation"),)
    details: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "conservation": {"split": "str", "structure_id": "str", "error_mev_per_A": "float64"}
    }
    sections = (Section("conservation", "Forces against energies", "mean of |F·u + dE/du| for random directions u."),)
    figures: ClassVar[Mapping[str, str]] = {"conservation": "mfbench_example.figure"}

    def measure(
        self, potential: Potential, task: Task, split: Split, plan: ConservationPlan, seed: int, workdir: Path
    ) -> Evaluation:
        """Measure; nothing for a potential that needs labels of the displaced frames."""
        if potential.requires_low_labels:
            return Evaluation([])
        rng, rows, lines = np.random.default_rng(seed), [], []
        for name, frames in split.tests.items():
            errors = [_error(potential, atoms, plan.step_A, rng) for atoms in frames[: plan.frames]]
            rows.append(metric_row(name, METRIC, "meV/Å", float(np.mean(errors)), len(errors)))
            lines += [
                {"split": name, "structure_id": str(a.info["structure_id"]), "error_mev_per_A": e}
                for a, e in zip(frames, errors, strict=False)
            ]
        details: dict[str, list[dict[str, Any]]] = {"conservation": lines}
        return Evaluation(rows, details)


def _error(potential: Potential, atoms: Atoms, step: float, rng: np.random.Generator) -> float:
    """|F·u + dE/du| in meV/Å."""
    direction = rng.normal(size=atoms.positions.shape)
    direction /= np.linalg.norm(direction)
    moved = [atoms.copy() for _ in range(2)]
    for sign, copy in zip((1.0, -1.0), moved, strict=True):
        copy.positions += sign * step * direction
    plus, minus = potential.predict(moved, forces=False).energies
    forces = potential.predict([atoms]).forces
    assert forces is not None
    return 1e3 * abs(float((forces[0] * direction).sum()) + float(plus - minus) / (2.0 * step))
