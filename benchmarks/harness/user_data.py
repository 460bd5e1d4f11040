"""Plans that `mfbench compare` and `mfbench fit` make of a user's two files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mfbench.benchmarks.harness.cores import CoreEntry, core_of, entry_of, lacking
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import USER_TASK, hand_on
from mfbench.benchmarks.tasks.base import SPLIT_SEED, Regime
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.splits import groups_of, split_groups
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.strategies.registry import arm_class, arm_names

LEAST_VALIDATION = 4


def comparable_arms(task: UserTask) -> tuple[list[str], dict[str, str]]:
    """Return the arms that these files can tell apart, and those left out with the reason."""
    left_out = {}
    for name in arm_names():
        arm = arm_class(name)
        if arm.needs_all_high:
            left_out[name] = "it is given all HF labels, as every arm is here"
        elif arm.needs_paired and task.default_regime.pairing != "paired":
            left_out[name] = "it needs LF labels of the HF structures, and some have none"
    return [name for name in arm_names() if name not in left_out], left_out


def comparison(
    low: Path,
    high: Path,
    names: tuple[str | None, str | None],
    *,
    task: UserTask,
    arms: Sequence[str],
    budget: float,
    seeds: int,
    draws: int,
    settings: dict[str, object],
    reading: Mapping[str, object] | None = None,
    cores: Sequence[str] = (),
) -> list[RunSpec]:
    """List the runs that compare arms on two files: every seed and draw, all HF frames that are not held out.

    Without `cores` the network is the one that the settings name; an arm that a core is not able to carry is left out.
    """
    entries: list[CoreEntry | None] = [entry_of(name) for name in cores] or [None]
    options: dict[str, object] = {"low": str(low), "high": str(high), "low_name": names[0], "high_name": names[1]}
    if reading:
        options["reading"] = dict(reading)
    specs = [
        RunSpec(
            task=USER_TASK,
            regime=task.default_regime,
            arm=arm,
            budget=budget,
            seed=seed,
            draw=draw,
            preset="compare",
            options=options,
            settings=settings,
            core=core,
        )
        for draw in range(draws)
        for seed in range(seeds)
        for arm in arms
        for core in entries
        if not lacking(arm, (core or core_of(settings)).name)
    ]
    hand_on(task, specs)
    return specs


def training_set(task: UserTask, validation_fraction: float, draw: int) -> TrainingSet:
    """Use all frames of two files to train on, but whole groups of HF frames to select a model on.

    Raises
    ------
    DataError
        If no group would be left for training or for validation.
    """
    high = task.candidates
    wanted = max(LEAST_VALIDATION, round(validation_fraction * len(high)))
    try:
        held, _ = split_groups(high, {"validation": wanted}, seed=SPLIT_SEED, draw=draw)
    except ConfigError as error:
        hint = "A model is selected on held-out frames."
        raise DataError(f"no validation frame is left: {error}", file=task.high_file, key="group", hint=hint) from error
    gone = set(groups_of(held["validation"]))
    regime: Regime = task.default_regime
    sets = regime.label_sets(task.fidelities)
    train = {
        name: [
            a
            for a in task.unlike(task.frames, held["validation"])
            if a.info["group"] not in gone and any(has_label(a, name, label) for label in sets[name].labels)
        ]
        for name in task.fidelities
    }
    return TrainingSet(task.fidelities, train, sets, held["validation"])
