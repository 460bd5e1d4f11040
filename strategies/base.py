"""The interface of a strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.data.reference_energies import ReferencePolicy
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.settings_model import dotted, keys_beside, odd_key, problem_of
from mfbench.mfcore.training.budget import Budget
from mfbench.mfcore.training.progress import Progress
from mfbench.strategies.checks import check_is_potential, check_potential
from mfbench.strategies.fit_context import FitContext
from mfbench.strategies.settings import StrategySettings

Role = Literal["candidate", "reference", "floor", "ceiling"]
"""The part that an arm plays in a comparison.

A candidate may be recommended. So may the reference: the HF labels that another arm saves are counted against its own.
The floor learns from no HF label but the reference energies. The ceiling is shown in each table, never recommended.
"""


class Strategy(ABC):
    """Turns a training set into a potential, within a budget.

    Planner and reports know of an arm only what these class attributes say.

    Parameters
    ----------
    settings
        As given in a configuration file; unknown keys are errors.

    Attributes
    ----------
    name, summary
        As the entry point names it; one line for `mfbench list arms`.
    Settings, default_e0
        Model of its settings; its policy of reference energies where these name none.
    conditionings
        What it asks of a core: "one_hot", "heads", "embedding"; an arm whose core lacks one is left out.
    needs_all_high
        It is given every HF label of the task, whatever the regime's `n_high`.
    needs_paired
        It needs the LF label of each HF training frame, too.
    uses_low
        It learns from LF labels, and so has to pay for them.
    uses_every_low
        It learns from all LF levels where there are several; else from the one next to HF alone.
    only_low_stage
        LF labels serve an LF stage alone, so that it needs none where it starts from a checkpoint.
    needs_checkpoint
        It is made of a checkpoint, and left out where there is none.
    trains
        Weights are trained; else they are those of the checkpoint.
    shares_low_stage
        It trains an LF stage that other arms train alike: one at a time, so that the second finds it stored.
    self_contained
        Its potential needs no LF label of the structures that it predicts.
    usual
        It is among "all" arms of presets and of `mfbench compare`; others are compared where they are named.
    usual_from_checkpoint
        It is among "all" arms where they start from a checkpoint.
    role
        Its part in a comparison.
    position
        Arms are listed by it, then by name.
    label
        What legends call it; "" for its name.
    colour, marker, line
        Its look in figures: a hex colour, and matplotlib's marker and line style; "" leaves the choice to the reports.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Settings: ClassVar[type[StrategySettings]] = StrategySettings
    default_e0: ClassVar[ReferencePolicy] = "least_squares"

    conditionings: ClassVar[tuple[Conditioning, ...]] = ()
    needs_all_high: ClassVar[bool] = False
    needs_paired: ClassVar[bool] = False
    uses_low: ClassVar[bool] = True
    uses_every_low: ClassVar[bool] = True
    only_low_stage: ClassVar[bool] = False
    needs_checkpoint: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    shares_low_stage: ClassVar[bool] = False
    self_contained: ClassVar[bool] = True

    usual: ClassVar[bool] = True
    usual_from_checkpoint: ClassVar[bool] = False
    role: ClassVar[Role] = "candidate"
    position: ClassVar[int] = 1000
    label: ClassVar[str] = ""
    colour: ClassVar[str] = ""
    marker: ClassVar[str] = ""
    line: ClassVar[str] = "-"

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        if key := odd_key(settings or {}):
            raise ConfigError(f"settings of {self.name}, key '{key}': expected a word.")
        try:
            self.settings = self.Settings.model_validate(dict(settings or {}))
        except ValidationError as error:
            first = error.errors()[0]
            problem, known = problem_of(first), keys_beside(self.Settings, first["loc"])
            if first["type"] == "extra_forbidden" and known:
                problem += f"; expected one of {', '.join(known)}"
            raise ConfigError(f"settings of {self.name}, key '{dotted(first['loc'])}': {problem}.") from error

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
        ConfigError
            If it is made of a checkpoint, and there is none.
        SelfCheckError
            If the potential does not answer as what it was trained to be (see :mod:`mfbench.strategies.checks`).
        """
        if self.needs_checkpoint and self.settings.core.checkpoint is None:
            raise ConfigError(f"{self.name}: it is made of a checkpoint; give core: {{name: CORE, checkpoint: FILE}}.")
        fitting = FitContext(self.settings, self.default_e0, train, budget, seed, progress, workdir, shared)
        potential = self._fit(fitting)
        check_is_potential(potential, self.name)
        potential.arm = self.name
        fitting.finish(potential, self.settings.model_dump(mode="json"))
        check_potential(potential, train, selected=self.role != "floor" and self.trains)
        return potential

    @abstractmethod
    def _fit(self, run: FitContext) -> Potential:
        """Train by the steps that define the strategy."""
