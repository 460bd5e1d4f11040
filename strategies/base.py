"""The interface of a strategy, and its settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mfbench.mfcore.cores.equivariant.config import CoreConfig
from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.progress import Progress
from mfbench.strategies.checks import check_potential
from mfbench.strategies.fitting import Fitting


class StrategySettings(BaseModel):
    """What every arm can be told; an arm adds its own options to these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    core: CoreConfig = CoreConfig()
    training: TrainingConfig = TrainingConfig()
    e0: ReferencePolicy | None = Field(
        None, description="Reference-energy policy; None takes the arm's default (protocol: least squares)."
    )
    isolated_energies: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Energies of isolated atoms by fidelity and element, eV."
    )


class Strategy(ABC):
    """Turns a training set into a potential, within a budget.

    Parameters
    ----------
    settings
        As given in a configuration file; unknown keys are errors.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Settings: ClassVar[type[StrategySettings]] = StrategySettings
    default_e0: ClassVar[ReferencePolicy] = "least_squares"

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        try:
            self.settings = self.Settings.model_validate(dict(settings or {}))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"settings of {self.name}, key '{key}': {first['msg']}.") from error

    def fit(
        self,
        train: TrainingSet,
        budget: Budget,
        seed: int,
        *,
        progress: Progress | None = None,
        workdir: Path | None = None,
        shared: Path | None = None,
    ) -> Potential:
        """Train.

        Parameters
        ----------
        train
            Frames, the labels that may be learned, and HF frames to select on.
        budget
            Atom gradients for all stages together; never exceeded.
        seed
            Of weights and frame order.
        progress
            Told each stage's name and what it spent.
        workdir
            Where checkpoints live; fitting again with the same folder goes on where it was cut off.
        shared
            Where finished low-fidelity stages are kept for other runs that would train the very same one;
            their cost is booked all the same.

        Returns
        -------
        Potential
            With its ledger and record.

        Raises
        ------
        SelfCheckError
            If the potential does not answer as what it was trained to be (see :mod:`mfbench.strategies.checks`).
        """
        fitting = Fitting(self.settings, self.default_e0, train, budget, seed, progress, workdir, shared)
        potential = self._fit(fitting)
        potential.arm = self.name
        fitting.finish(potential, self.settings.model_dump(mode="json"))
        check_potential(potential, train)
        return potential

    @abstractmethod
    def _fit(self, run: Fitting) -> Potential:
        """What the strategy is."""
