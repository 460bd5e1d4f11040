"""The plan of a comparison on a user's own files: what is asked, and the runs that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness import default_budget, user_data
from mfbench.benchmarks.harness.cores import CoreEntry, core_of, lacking
from mfbench.benchmarks.harness.plan import RunSpec, Tuning
from mfbench.benchmarks.harness.user_data import PoolSizes, Size
from mfbench.benchmarks.harness.user_tuned import not_tuned, tuned_for
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.benchmarks.user.networks import say_start
from mfbench.benchmarks.user.options import check_arms, check_faults
from mfbench.benchmarks.user.settings_file import settings_from
from mfbench.benchmarks.user.telling import Telling
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.strategies.registry import is_usual, make_arm


@dataclass(frozen=True)
class Question:
    """All that a comparison is asked for.

    Attributes
    ----------
    options
        Which files, and how they are read (:func:`mfbench.benchmarks.user.options.task_options`).
    arms
        Only these; none: all that are usual.
    sizes
        Numbers of HF frames to train on.
    budgets
        Atom gradients of each run; none: the default, by the size of the data.
    draws, seeds
        Validation sets and HF subsets, and model seeds for each, to repeat with.
    settings, settings_file
        Of all arms, and the file that they were read from, which errors name.
    cores
        Networks; none: that of the settings.
    tuned
        File of settings that `mfbench tune` wrote.
    costs
        CPU-s of a frame's labels, by role.
    accept_faults
        Train on labels that cannot be right, all the same.
    """

    options: Mapping[str, Any]
    arms: Sequence[str] = ()
    sizes: Sequence[Size] = ("all",)
    budgets: Sequence[float] = ()
    draws: int = 5
    seeds: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_file: Path | None = None
    cores: Sequence[CoreEntry] = ()
    tuned: Path | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    accept_faults: bool = False


@dataclass(frozen=True)
class ComparisonPlan:
    """The runs that answer a question.

    Attributes
    ----------
    task
        The files as a task.
    specs
        The runs.
    sizes, pools
        Numbers of HF frames to train on, and those of each draw that there are.
    costs
        CPU-s of a frame's labels, by role.
    training
        Settings of training of each arm.
    """

    task: UserTask
    specs: list[RunSpec]
    sizes: Sequence[Size]
    pools: PoolSizes
    costs: Mapping[str, float]
    training: Sequence[TrainingConfig]

    def say_budgets(self, telling: Telling, specs: Sequence[RunSpec]) -> None:
        """Say what the budgets of some runs come to."""
        for amount in dict.fromkeys(spec.budget for spec in specs):
            telling.say(default_budget.in_words(amount, self.task.frames, self.training))


def plan_comparison(question: Question, telling: Telling) -> ComparisonPlan:
    """Read the files and list the runs; what was found in them, and what is left out and why, is said.

    Raises
    ------
    ConfigError
        If an arm, a size or a setting is not possible with these files.
    DataError
        If a file is faulty.
    LeakageError
        If frames to train on are copies of test frames.
    """
    own = question.settings
    networks = list(question.cores) or [core_of(own)]
    starts = any(entry.checkpoint is not None for entry in networks)
    check_arms(question.arms, question.options, starts)
    with telling.comparing() as told:
        task = UserTask(**question.options, told=told, keep=True)
    costs = question.costs
    task.label_costs = {f: costs[s.role] for f, s in zip(task.fidelities, task.sources, strict=True) if s.role in costs}
    telling.notes([*task.notes, *check_faults(task.faults, question.accept_faults)])
    arms, left_out = user_data.comparable_arms(task, question.sizes, starts)
    for name in question.arms:
        if name not in arms:
            raise ConfigError(f"arm '{name}': {left_out.get(name, 'unknown')}; there are {', '.join(arms)}.")
    chosen = list(question.arms) or [name for name in arms if is_usual(name, starts)]
    pools = user_data.pool_sizes(question.options, task, question.draws)
    user_data.check_sizes(question.sizes, pools, task)
    telling.say(user_data.held_out(task, pools))
    settings: Mapping[str, Mapping[str, Any]] = dict.fromkeys(chosen, own)
    tuning: Mapping[str, Tuning] = {}
    if question.tuned is not None:
        found = tuned_for(question.tuned, own, task.fidelities, chosen, [entry.name for entry in networks])
        telling.notes(found.notes)
        settings, tuning = found.settings, found.tuning
        for name in [name for name in chosen if name not in settings]:
            left_out[name] = not_tuned(question.tuned, name)
            if question.arms:
                raise ConfigError(f"arm '{name}': {left_out[name]}.")
        chosen = [*settings]
    with settings_from(question.settings_file if question.tuned is None else None):  # else some are of the other file
        training = [make_arm(name, settings[name]).settings.training for name in chosen]
    budgets = set(question.budgets) or {default_budget.OF_COMPARE.atom_gradients(task.frames, training)}
    specs = user_data.comparison(
        question.options,
        task=task,
        arms=chosen,
        budgets=sorted(budgets),
        seeds=question.seeds,
        draws=question.draws,
        settings=settings,
        tuning=tuning,
        sizes=question.sizes,
        cores=question.cores,
    )
    seen = task.default_regime.label_sets(task.fidelities)[task.high]
    for entry in networks:
        say_start(telling, entry.over(own), task.candidates, task.high, seen)
    reasons = [] if question.arms else [*left_out.items()]
    for entry in networks:
        reasons += [(name, reason) for name in chosen if (reason := lacking(name, entry.name, entry.checkpoint))]
    for name, reason in reasons:
        telling.say(f"left out: {name}: {reason}.")
    if not specs:
        raise ConfigError("no arm is left to compare.")
    return ComparisonPlan(task, specs, question.sizes, pools, costs, training)
