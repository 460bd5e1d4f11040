"""Settings of a simulation, and where its replicas start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ase import Atoms
from pydantic import Field, model_validator

from mfbench.mfcore.data.periodic import cell_problem
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.settings_model import SettingsModel


class DynamicsSettings(SettingsModel):
    """How to integrate; the same for every replica of a simulation."""

    ensemble: Literal["nvt", "nve"] = Field("nvt", description="Langevin (BAOAB), or velocity Verlet.")
    duration_ps: float = Field(gt=0, description="Physical-time limit; a replica that reaches it has survived.")
    time_step_fs: float = Field(1.0, gt=0)
    friction_per_ps: float = Field(5.0, gt=0, description="Of the Langevin thermostat.")
    velocities: Literal["draw", "frame"] = Field(
        "draw", description="Draw them from the canonical ensemble, or take the frame's momenta."
    )
    skin: float = Field(1.0, gt=0, description="Of the neighbour lists, Å.")
    check_every: int = Field(1, ge=1, description="Steps between checks of the geometry.")
    record_every: int = Field(10, ge=1, description="Steps between records of energies and positions.")

    @model_validator(mode="after")
    def _at_least_a_step(self) -> DynamicsSettings:
        if self.n_steps < 1:
            raise ValueError(f"duration_ps {self.duration_ps}: shorter than one step of {self.time_step_fs} fs")
        return self

    @property
    def n_steps(self) -> int:
        """Steps up to the limit."""
        return round(1000.0 * self.duration_ps / self.time_step_fs)

    def time_ps(self, step: int) -> float:
        """Physical time of a step, ps."""
        return step * self.time_step_fs / 1000.0


@dataclass(frozen=True)
class Start:
    """Where a replica starts.

    Attributes
    ----------
    atoms
        A molecule, or a cell that is periodic in one direction or more.
    temperature_K
        Of the thermostat and of the velocities that are drawn.
    replica
        Its number: with the seed the key of its random numbers.
    """

    atoms: Atoms
    temperature_K: float
    replica: int

    @property
    def name(self) -> str:
        """Name of the frame."""
        return str(self.atoms.info.get("structure_id", self.replica))

    @property
    def group(self) -> str:
        """Replicas of one group are not independent starts."""
        return str(self.atoms.info.get("group", self.name))


def starts(frames: Sequence[Atoms], temperatures_K: Sequence[float], n_replicas: int = 1) -> list[Start]:
    """Every frame at every temperature, `n_replicas` times, numbered from 0."""
    return [
        Start(atoms, float(temperature), number)
        for number, (atoms, temperature) in enumerate(
            (a, t) for a in frames for t in temperatures_K for _ in range(n_replicas)
        )
    ]


def check_starts(replicas: Sequence[Start]) -> None:
    """Refuse what the integrators cannot do.

    Raises
    ------
    ConfigError
        No replica, a number that comes twice, a temperature that is not positive, constraints, or a cell that
        cannot be (see :func:`mfbench.mfcore.data.periodic.cell_problem`).
    """
    if not replicas:
        raise ConfigError("dynamics: there is no replica to start.")
    if len({s.replica for s in replicas}) != len(replicas):
        raise ConfigError("dynamics: two replicas have the same number, and so the same random numbers.")
    for start in replicas:
        where = f"dynamics: replica {start.replica} ('{start.name}')"
        if not start.temperature_K > 0:
            raise ConfigError(f"{where}: expected a temperature above 0 K, got {start.temperature_K}.")
        if start.atoms.constraints:
            raise ConfigError(f"{where}: the frame has constraints, which are not supported; remove them.")
        if problem := cell_problem(start.atoms):
            raise ConfigError(f"{where}: {problem[0]} {problem[1]}")
