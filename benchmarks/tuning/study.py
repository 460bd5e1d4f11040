"""The search for one arm's settings: trials chosen by a seeded sampler, the better ones trained again for longer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness.plan import RunSpec, merge
from mfbench.benchmarks.harness.prepare import prepare_one, task_of
from mfbench.benchmarks.tuning.halving import REDUCTION, Rung, promoted, rungs_of
from mfbench.benchmarks.tuning.settings_file import TunedArm
from mfbench.benchmarks.tuning.space import Parameter, Space, check, nested, present
from mfbench.benchmarks.tuning.trial import TrialStore, run_trial
from mfbench.mfcore.errors import ConfigError, StorageError, TrainingError
from mfbench.mfcore.training.config import LossConfig
from mfbench.strategies import Strategy
from mfbench.strategies.registry import arm_class

SAMPLER = "tpe"
#: Trials that are drawn at random before the sampler learns from them. Fixed, so that more trials go on from fewer.
STARTUP_TRIALS = 5


@dataclass(frozen=True)
class Search:
    """Search for one arm; the same trials, sampler seed, frames and budget for all arms of a comparison.

    Attributes
    ----------
    spec
        The arm with its untuned settings and the budget of a run.
    parameters
        What is tuned, by dotted key.
    loss
        Validation loss that trials are compared by.
    rungs, sampler_seed
        Numbers of trials and their shares of the budget, and seed of the sampler.
    root
        Folder of the trials.
    """

    spec: RunSpec
    parameters: dict[str, Parameter]
    loss: LossConfig
    rungs: tuple[Rung, ...]
    sampler_seed: int
    root: Path

    @property
    def trials(self) -> int:
        """Number of settings that are tried."""
        return self.rungs[0].trials


@dataclass(frozen=True)
class Searched:
    """Trials of an arm in their order, rung by rung.

    Records are those of :func:`mfbench.benchmarks.tuning.trial.run_trial` with the number of the trial, "trial", and
    its share of the budget, "share". `first_is_present` says whether the first one had the untuned settings. `fault`
    is set if the search broke off.
    """

    arm: str
    records: list[dict[str, Any]] = field(default_factory=list)
    first_is_present: bool = False
    fault: str | None = None
    disk_fault: bool = False


def need_optuna() -> None:
    """Raise `ConfigError` if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError("tuning needs Optuna: python -m pip install 'mfbench[tune]'.") from error


def searches(
    specs: Sequence[RunSpec],
    space: Space,
    *,
    trials: int,
    sampler_seed: int,
    budget_share: float,
    root: Path,
    reduction: int = REDUCTION,
) -> list[Search]:
    """Plan the searches for some arms, which differ in nothing but the arm.

    Parameters
    ----------
    budget_share, reduction
        Of the rungs (:func:`mfbench.benchmarks.tuning.halving.rungs_of`).

    Raises
    ------
    ConfigError
        If the space does not fit an arm.
    """
    found = []
    loss = _common_loss(specs)
    for spec in specs:
        task = task_of(spec)
        parameters = space.of(spec.arm, task.fidelities)
        base = merge(task.settings(spec.preset), spec.settings)
        base = base if spec.core is None else spec.core.over(base)
        check(space, parameters, partial(_make, arm_class(spec.arm), base), spec.arm)
        rungs = rungs_of(trials, budget_share, reduction)
        found.append(Search(spec, parameters, loss, rungs, sampler_seed, root))
    return found


def _make(arm: type[Strategy], base: dict[str, Any], over: dict[str, Any]) -> Any:
    return arm(merge(base, over))


def _common_loss(specs: Sequence[RunSpec]) -> LossConfig:
    """Loss of the untuned settings, the same for all arms; weights of fidelities have no part in it."""
    found = {}
    for spec in specs:
        resolved = prepare_one(spec).settings
        values = resolved.get("training", {}).get("loss", {})
        found[LossConfig.model_validate({**values, "fidelity_weights": {}}).model_dump_json()] = spec.arm
    if len(found) > 1:
        raise ConfigError(
            f"arms {' and '.join(found.values())} have different training.loss settings, so that their validation "
            "losses cannot be compared alike; give the loss in settings, not in arm_settings."
        )
    return LossConfig.model_validate_json(next(iter(found)))


def search(job: Search, tell: Callable[[tuple[str, Any]], None]) -> Searched:
    """Run the trials of one arm; those that are stored are read. Nothing is raised.

    Parameters
    ----------
    tell
        Gets ("spent", (trial, atom gradients)) now and then and ("ended", record) after each trial.
    """
    try:
        return _search(job, tell)
    except Exception as error:
        disk = StorageError.within(error)
        fault = f"{type(error).__name__}: {error}" if disk is None else str(disk)
        return Searched(job.spec.arm, fault=fault, disk_fault=disk is not None)


def _search(job: Search, tell: Callable[[tuple[str, Any]], None]) -> Searched:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    store, arm = TrialStore(job.root), job.spec.arm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=job.sampler_seed, n_startup_trials=STARTUP_TRIALS)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    untuned = present(prepare_one(job.spec).settings, job.parameters)
    if untuned is not None:
        study.enqueue_trial(untuned)
    records: list[dict[str, Any]] = []
    chosen: list[dict[str, Any]] = []

    def run(number: int, share: float) -> dict[str, Any]:
        spec = replace(job.spec, settings=merge(job.spec.settings, nested(chosen[number])))
        planned = prepare_one(replace(spec, budget=spec.budget * share))
        found = run_trial(planned, job.loss, store, partial(_tell_spent, tell, len(records)), chosen[number])
        records.append(found | {"trial": number, "share": share})
        tell(("ended", records[-1]))
        return found

    first = job.rungs[0]
    for number in range(first.trials):
        trial = study.ask()
        values = {key: parameter.suggest(trial, key) for key, parameter in job.parameters.items()}
        # the untuned values as they are, not rounded
        chosen.append(untuned if number == 0 and untuned is not None else values)
        record = run(number, first.share)
        if record["status"] == "finished":
            study.tell(trial, record["loss"])
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    for before, rung in pairwise(job.rungs):
        losses = {record["trial"]: record["loss"] for record in records if record["share"] == before.share}
        for number in promoted(losses, rung.trials, 0 if untuned is not None else None):
            run(number, rung.share)
    return Searched(arm, records, untuned is not None)


def _tell_spent(tell: Callable[[tuple[str, Any]], None], number: int, spent: float) -> None:
    tell(("spent", (number, spent)))


def best_of(found: Searched) -> TunedArm:
    """Sum up a search.

    Raises
    ------
    TrainingError
        If no trial has finished.
    """
    best = best_record(found)
    last = {record["trial"]: record for record in found.records}  # of each trial, that of its largest budget
    longest = max(record["share"] for record in found.records)
    untuned = last[0] if found.first_is_present and last[0]["share"] == longest else None
    return TunedArm(
        settings=nested(best["values"]),
        trials=len(last),
        failed=sum(record["status"] != "finished" for record in last.values()),
        atom_gradients=sum(record["atom_gradients"] for record in found.records),
        validation_loss=best["loss"],
        first_validation_loss=untuned["loss"] if untuned else None,
        losses=[record["loss"] for record in last.values()],
        shares=[record["share"] for record in last.values()],
    )


def best_record(found: Searched) -> dict[str, Any]:
    """The trial with the lowest loss among those that were trained for longest.

    Raises
    ------
    TrainingError
        If no trial has finished.
    """
    finished = [record for record in found.records if record["status"] == "finished"]
    if found.fault is not None or not finished:
        reason = found.fault or (found.records[-1]["reason"] if found.records else "there was none")
        raise TrainingError(f"arm '{found.arm}': no trial has finished; the last one: {reason}")
    return min(finished, key=lambda record: (-record["share"], record["loss"]))
