"""The plan of a fit of one arm to a user's own files: what is asked, and what is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness import default_budget
from mfbench.benchmarks.harness.cores import core_of, lacking, uses_low
from mfbench.benchmarks.harness.user_data import not_served, training_set
from mfbench.benchmarks.harness.user_tuned import tuned_for
from mfbench.benchmarks.tasks.user import LEAST, UserTask
from mfbench.benchmarks.user.networks import say_start
from mfbench.benchmarks.user.options import check_faults, names_of_low, target_only
from mfbench.benchmarks.user.settings_file import settings_from
from mfbench.benchmarks.user.telling import Telling
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.strategies.base import Strategy
from mfbench.strategies.registry import arm_class, make_arm


@dataclass(frozen=True)
class FitQuestion:
    """All that a fit is asked for.

    Attributes
    ----------
    arm
        Name of the arm.
    options
        Which files, and how they are read (:func:`mfbench.benchmarks.user.options.task_options`).
    seed
        Of weights, frame order and choice of validation groups.
    validation_fraction
        Share of the HF frames that the model is selected on.
    settings, settings_file
        Of the arm, and the file that they were read from, which errors name.
    tuned
        File of settings that `mfbench tune` wrote.
    accept_faults
        Train on labels that cannot be right, all the same.
    """

    arm: str
    options: Mapping[str, Any]
    seed: int = 0
    validation_fraction: float = 0.1
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_file: Path | None = None
    tuned: Path | None = None
    accept_faults: bool = False


@dataclass(frozen=True)
class FitPlan:
    """A training that is ready to begin.

    Attributes
    ----------
    strategy, settings
        The arm, and what it is made with.
    task, data
        The files as a task, and the frames to train and select on.
    """

    strategy: Strategy
    settings: Mapping[str, Any]
    task: UserTask
    data: TrainingSet
    seed: int

    @property
    def default_budget(self) -> float:
        """Atom gradients where none are given, by the size of the data."""
        return default_budget.OF_FIT.atom_gradients(self.task.frames, [self.strategy.settings.training])

    def say_budget(self, telling: Telling, atom_gradients: float) -> None:
        """Say what a budget comes to, and what is trained on."""
        telling.say(default_budget.in_words(atom_gradients, self.task.frames, [self.strategy.settings.training]))
        data = self.data
        counts = ", ".join(f"{len(frames)} {name} ({data.labels[name]})" for name, frames in data.train.items())
        telling.say(f"Training {self.strategy.name} on {counts}; {len(data.validation)} for selection.")


def plan_fit(question: FitQuestion, telling: Telling) -> FitPlan:
    """Read the files and make the arm; what was found in them is said.

    Raises
    ------
    ConfigError
        If the arm or a setting is not possible with these files.
    DataError
        If a file is faulty.
    """
    arm, own, options = question.arm, question.settings, dict(question.options)
    lows, network = names_of_low(options), core_of(own)
    starts = network.checkpoint is not None
    if reason := lacking(arm, network.name, network.checkpoint) or not_served(arm, len(lows), starts):
        raise ConfigError(f"arm '{arm}': {reason}.")
    with settings_from(question.settings_file):
        strategy = make_arm(arm, own)
    if lows and not uses_low(arm, checkpoint=network.checkpoint is not None):
        instead = " and a checkpoint" if starts and arm_class(arm).only_low_stage else ""
        telling.notes([f"{arm} learns from HF labels{instead} alone: {', '.join(lows)} is not read"])
        options = target_only(options)
    with telling.comparing() as told:
        task = UserTask(**options, told=told, keep=True)
    telling.notes([*task.notes, *check_faults(task.faults, question.accept_faults)])
    if question.tuned is not None:
        found = tuned_for(question.tuned, own, task.fidelities, [arm], [network.name])
        telling.notes(found.notes)
        own = found.settings[arm]
        strategy = make_arm(arm, own)
    data = training_set(task, question.validation_fraction, question.seed)
    telling.notes([_selected(len(data.validation), len(task.candidates), question.validation_fraction)])
    resolved = strategy.settings.model_dump(mode="json")
    say_start(telling, resolved, data.train[data.high], data.high, data.labels[data.high])
    return FitPlan(strategy, own, task, data, question.seed)


def _selected(n: int, n_high: int, fraction: float) -> str:
    """Say how many HF frames select the model, and by what rule."""
    share, wanted = f"{fraction:.3g} of them (--validation-fraction)", round(fraction * n_high)
    rule = f"at least {LEAST}, since {share} are {wanted}" if wanted < LEAST else share
    return f"{n} of {n_high} HF frames are not trained on and select the model: {rule}, by whole groups"
