"""Plans that `mfbench compare` and `mfbench fit` make of a user's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from mfbench.benchmarks.harness.cores import CoreEntry, core_of, lacking
from mfbench.benchmarks.harness.cost import label_cost, labels_of
from mfbench.benchmarks.harness.plan import RunSpec, Tuning
from mfbench.benchmarks.harness.prepare import USER_TASK, hand_on, split_of
from mfbench.benchmarks.tasks.base import SPLIT_SEED, Regime
from mfbench.benchmarks.tasks.user import LEAST, VALIDATION_FRACTION, UserTask
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.inspection import counted
from mfbench.mfcore.data.isolated import is_isolated
from mfbench.mfcore.data.splits import groups_of, split_groups
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label
from mfbench.strategies.registry import arm_class, arm_names

if TYPE_CHECKING:
    from pandas import DataFrame

Size = int | Literal["all"]
"""Number of HF training frames."""


def not_served(arm: str, n_low: int, starts: bool = False) -> str:
    """Say why an arm cannot be trained on so many LF levels, from a checkpoint or not; "" if it can.

    Raises
    ------
    ConfigError
        If there is no such arm.
    """
    known = arm_class(arm)
    if starts and known.only_low_stage:
        return ""
    if known.uses_low and not n_low:
        return "it learns from LF labels, and there are none: give --low FILE, or --level NAME=FILE for each level"
    if known.uses_low and not known.uses_every_low and n_low > 1:
        return f"it learns from one LF level alone, and there are {n_low}: give the one next to the target only"
    return ""


def comparable_arms(
    task: UserTask, sizes: Sequence[Size] = ("all",), starts: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Return the arms that these files can tell apart, and those left out with the reason.

    `starts` says whether a core starts from a checkpoint.
    """
    left_out = {}
    lows = task.fidelities[:-1]
    for name in arm_names():
        arm = arm_class(name)
        if reason := not_served(name, len(lows), starts):
            left_out[name] = reason
        elif arm.needs_all_high and "all" in sizes:
            left_out[name] = "it is given all HF labels, as every arm is here"
        elif arm.needs_paired and task.default_regime.pairing != "paired":
            left_out[name] = "it needs LF labels of the HF structures, and some have none"
        elif not arm.self_contained and (bare := task.tests_without(lows[-1])):
            left_out[name] = f"it needs '{lows[-1]}' labels of the test frames, and {bare} have none"
    return [name for name in arm_names() if name not in left_out], left_out


def comparison(
    options: Mapping[str, Any],
    *,
    task: UserTask,
    arms: Sequence[str],
    budgets: Sequence[float],
    seeds: int,
    draws: int,
    settings: Mapping[str, Mapping[str, Any]],
    sizes: Sequence[Size] = ("all",),
    tuning: Mapping[str, Tuning] | None = None,
    cores: Sequence[CoreEntry] = (),
) -> list[RunSpec]:
    """List the runs that compare arms on a user's files: every seed and draw, and number of HF training frames.

    An arm that a core is not able to carry is left out.

    Parameters
    ----------
    options
        What the task was made with.
    settings
        By arm.
    budgets
        Atom gradients of each run; several are an axis.
    sizes
        Numbers of HF frames to train on; "all" takes those that are not held out.
    tuning
        By arm, where its settings were tuned.
    cores
        Networks; without any it is the one that the settings name.
    """
    entries: list[CoreEntry | None] = [*cores] or [None]
    specs = []
    for size in sizes:
        regime = task.default_regime.model_copy(update={"n_high": size})
        for budget, draw, seed, arm, core in product(budgets, range(draws), range(seeds), arms, entries):
            all_high = arm_class(arm).needs_all_high
            chosen = core or core_of(settings[arm])
            if lacking(arm, chosen.name, chosen.checkpoint) or (all_high and size != sizes[0]):
                continue  # a ceiling is one run, whatever the sizes
            specs.append(
                RunSpec(
                    task=USER_TASK,
                    regime=regime,
                    arm=arm,
                    budget=budget,
                    budget_name=f"{budget:.6g}" if len(budgets) > 1 else "default",
                    seed=seed,
                    draw=draw,
                    preset="compare",
                    all_high=all_high,
                    options=options,
                    settings=settings[arm],
                    tuning=(tuning or {}).get(arm),
                    core=core,
                )
            )
    hand_on(task, specs)
    return specs


@dataclass(frozen=True)
class PoolSizes:
    """Numbers of HF frames, by draw, that are there to train on and that select the model."""

    training: tuple[int, ...]
    validation: tuple[int, ...]


def pool_sizes(options: Mapping[str, Any], task: UserTask, draws: int) -> PoolSizes:
    """Count the HF frames of each draw."""
    regime = task.default_regime
    specs = [RunSpec(USER_TASK, regime, "", 1.0, 0, draw, options=options) for draw in range(draws)]
    hand_on(task, specs)
    sets = [split_of(spec).training for spec in specs]
    return PoolSizes(tuple(len(s.train[task.high]) for s in sets), tuple(len(s.validation) for s in sets))


def check_sizes(sizes: Sequence[Size], pools: PoolSizes, task: UserTask) -> None:
    """Refuse numbers of HF training frames that a draw does not have.

    Raises
    ------
    ConfigError
        Says how many there are, and where the others went.
    """
    most = min(pools.training)
    if wrong := [size for size in sizes if size != "all" and size > most]:
        raise ConfigError(
            f"--n-high {wrong[0]}: there are {most} HF frames to train on"
            f"{'' if len(set(pools.training)) == 1 else ' in the draw that has fewest'}. {held_out(task, pools)}"
        )


def held_out(task: UserTask, pools: PoolSizes) -> str:
    """Say how many HF frames are held out for the test and for selection, and by what rule."""
    n, test = len(task.candidates), task.n_test
    validation, training = _range(pools.validation), _range(pools.training)
    rule = f"{100 * VALIDATION_FRACTION:.0f} % of them, but at least {LEAST}, another part in each draw"
    if task.test_files:
        words = (
            f"The test is {test} HF frames of {', '.join(map(str, task.test_files))}. Of {n} other HF frames, by whole "
            f"groups: {validation} select the model ({rule})"
        )
    else:
        words = (
            f"Of {n} HF frames, by whole groups: {test} are the test (a fifth, but at least {LEAST}, the same in all "
            f"draws), {validation} select the model ({rule})"
        )
    alone = sum(is_isolated(a) and has_label(a, task.high, Label.ENERGY) for a in task.frames)
    atoms = f", {counted(alone, 'isolated atom')} among them" if alone else ""
    return f"{words}, {training} are there to train on{atoms}."


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"


def label_costs(rows: DataFrame, specs: Sequence[RunSpec], task: UserTask) -> list[float]:
    """Return CPU-s of the labels of each row's run, shape (rows,); NaN where the task does not know them."""
    known: dict[tuple[str, str, int], float] = {}
    for spec in specs:
        key = (spec.arm, str(spec.n_high), spec.draw)
        if key not in known:
            known[key] = label_cost(task, labels_of(spec))
    columns = (rows["arm"], rows["n_high"], rows["draw"])
    return [known.get((str(arm), str(n), int(draw)), float("nan")) for arm, n, draw in zip(*columns, strict=True)]


def training_set(task: UserTask, validation_fraction: float, draw: int) -> TrainingSet:
    """Use all frames of a user's files to train on, but whole groups of HF frames to select a model on.

    Raises
    ------
    DataError
        If no group would be left for training or for validation.
    """
    high = task.candidates
    wanted = max(LEAST, round(validation_fraction * len(high)))
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
