"""From run specifications to runs with keys: settings and splits, so that faults show before training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from ase.data import chemical_symbols

from mfbench.benchmarks.harness.cores import lacking
from mfbench.benchmarks.harness.keys import canonical_json, code_hash, digest, observable_hash
from mfbench.benchmarks.harness.plan import RunSpec, merge
from mfbench.benchmarks.observables.registry import measured
from mfbench.benchmarks.tasks.base import Regime, Split, Task
from mfbench.benchmarks.tasks.checks import asked, check_hashes
from mfbench.benchmarks.tasks.registry import make_task
from mfbench.mfcore.backends.select import expected_backend
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import arm_class

#: Name of the task that is made of a user's own files; its options say which.
USER_TASK = "user"


_TOLD_EVERY = 100


@dataclass(frozen=True)
class PlannedRun:
    """A run with all that decides its numbers.

    Attributes
    ----------
    settings
        The arm's settings, defaults included.
    identity
        The parts that :attr:`key` is the hash of.
    """

    spec: RunSpec
    settings: dict[str, Any]
    identity: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """The run key."""
        return digest(self.identity)


def prepare(specs: Sequence[RunSpec], told: Callable[[int], object] = lambda done: None) -> list[PlannedRun]:
    """Resolve settings and splits of runs.

    Parameters
    ----------
    told
        Told now and then how many are resolved.

    Raises
    ------
    MfbenchError
        If data, regime or settings of a run are not possible, or two cores of the axis are one; nothing has been
        computed then.
    """
    planned, cores = [], dict[str, str]()
    for number, spec in enumerate(specs):
        if number % _TOLD_EVERY == 0:
            told(number)
        run = prepare_one(spec)
        other = cores.setdefault(run.key, spec.core_name)
        if other != spec.core_name and run.identity["core"] is not None:  # an arm without a network has one run
            raise ConfigError(
                f"{spec.of_preset}, key 'core': '{other}' and '{spec.core_name}' are one network with the same "
                "settings, once those of 'settings' and the defaults are filled in; leave one of them out."
            )
        planned.append(run)
    return planned


def prepare_one(spec: RunSpec) -> PlannedRun:
    """Resolve one run."""
    task = task_of(spec)
    data = check_hashes(task, asked(task, "data_hashes()", task.data_hashes))
    # settings for a user's files are tuned on those of a task
    if spec.tuning is not None and spec.task != USER_TASK and dict(spec.tuning.data) != data:
        raise ConfigError(
            f"{spec.tuning.source}: task '{spec.task}' was tuned on other data (sha256 differs); tune it again."
        )
    arm = arm_class(spec.arm)
    settings = merge(task.settings(spec.preset), spec.settings)
    if spec.regime.e0 != "default":
        settings["e0"] = spec.regime.e0
    if spec.regime.selection != "default":
        settings = merge(settings, {"training": {"selection": spec.regime.selection}})
    if spec.core is not None:
        settings = spec.core.over(settings)
    try:
        made = arm(settings).settings
    except ConfigError as error:
        raise ConfigError(f"{spec.of_preset}: {error}" if spec.preset else str(error)) from None
    resolved, core = made.model_dump(mode="json"), getattr(made, "core", None)  # an arm may have no network
    if core is not None and (reason := lacking(spec.arm, core.name, core.checkpoint)):
        raise ConfigError(f"arm '{spec.arm}': {reason}.")
    if resolved.get("training", {}).get("patience") is not None:
        raise ConfigError(
            f"settings of {spec.arm}, key 'training.patience': in a comparison the budget has it, the same for every "
            "arm; give budget: {rule: converged, atom_gradients: CAP, patience: N}."
        )
    identity = {
        "task": spec.task,
        "data": data,
        "split": digest(split_of(spec).record),
        "regime": spec.regime.model_dump(mode="json"),
        "arm": spec.arm,
        "settings": resolved,
        "core": None if core is None else {"name": core.name, "checkpoint_sha256": core.checkpoint_sha256},
        "budget_atom_gradients": float(spec.budget),
        "budget_rule": Budget(spec.budget, spec.patience).rule,
        "budget_patience": spec.patience,
        "trials": _trials(spec),
        "seed": spec.seed,
        "draw": spec.draw,
        "code": code_hash(type(task), arm, None if core is None else core.core),
        "observables": _observables(spec, task),
        "computed_with": None if core is None else computed_with(resolved),
    }
    if spec.budget_name != "default":  # its rows name it
        identity["budget_name"] = spec.budget_name
    return PlannedRun(spec, resolved, identity)


def computed_with(settings: Mapping[str, Any]) -> dict[str, str]:
    """Tell what computes a run, as far as its last digits depend on it: torch, the kind of device, and the kernels.

    A finished run is known by this, too: on another kind of device, or with another torch, it is computed again.

    Parameters
    ----------
    settings
        Resolved settings of an arm.
    """
    device = _device(str(settings.get("training", {}).get("accelerator", "auto")))
    backend = settings.get("core", {}).get("backend", "auto")
    return {
        "torch": torch.__version__.partition("+")[0],
        "device": device,
        "backend": expected_backend(str(backend), torch.device(device)),
    }


def plan_for(device: str | None) -> None:
    """Let "auto" stand for a kind of device that workers have and this machine may lack; None: for that of this one."""
    global _elsewhere
    _elsewhere = device
    _device.cache_clear()


_elsewhere: str | None = None


@lru_cache(maxsize=8)
def _device(accelerator: str) -> str:
    """Kind of the device that an accelerator stands for."""
    if accelerator == "auto" and _elsewhere is not None:
        return _elsewhere
    if accelerator in ("cuda", "gpu") or (accelerator == "auto" and torch.cuda.is_available()):
        return "cuda"
    return "cpu"


def _observables(spec: RunSpec, task: Task) -> dict[str, dict[str, Any]]:
    """Collect all that decides the numbers of the observables of a run: plan, code, and parts of the task."""
    found = {}
    for observable, plan in measured(spec.observables):
        where = f"{spec.of_preset}, key 'observables.{observable.name}'"
        try:
            own = observable.identity(task, plan)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{where}: its identity raised {type(error).__name__}: {error}") from error
        code = observable_hash(type(observable))
        found[observable.name] = {"plan": plan.model_dump(mode="json"), **own, "code": code}
    return found


def _trials(spec: RunSpec) -> dict[str, float]:
    """Trials and compute that are booked for the search of a run's settings."""
    tuning = spec.tuning
    if tuning is None:
        return {"number": 0, "atom_gradients": 0.0}
    return {"number": tuning.trials, "atom_gradients": tuning.atom_gradients}


def task_of(spec: RunSpec) -> Task:
    """Return the task of a run, made once a process."""
    return _task(spec.task, canonical_json(dict(spec.options)))


def split_of(spec: RunSpec) -> Split:
    """Return the split of a run; runs that differ in arm or seed share it."""
    return _split(spec.task, canonical_json(dict(spec.options)), spec.regime.model_dump_json(), spec.draw)


def hand_on(task: Task, specs: Sequence[RunSpec]) -> None:
    """Let runs use a task that is made already, in this process; workers make their own."""
    for spec in specs:
        _made[spec.task, canonical_json(dict(spec.options))] = task


_made: dict[tuple[str, str], Task] = {}


@lru_cache(maxsize=8)
def _task(name: str, options: str) -> Task:
    if (name, options) in _made:
        return _made[name, options]
    if name == USER_TASK:
        from mfbench.benchmarks.tasks.user import UserTask

        return UserTask(**json.loads(options), keep=True)
    return make_task(name)


@lru_cache(maxsize=256)  # they share their frames, so that one takes little
def _split(task: str, options: str, regime: str, draw: int) -> Split:
    split = _task(task, options).split(Regime.model_validate_json(regime), draw)
    _check_elements(split)
    return split


def _check_elements(split: Split) -> None:
    """Refuse a split in which no arm can answer for a frame: it has an element that no training frame has."""
    known = {int(z) for frames in split.training.train.values() for atoms in frames for z in atoms.numbers}
    held_out = [*split.training.validation, *(atoms for frames in split.tests.values() for atoms in frames)]
    for atoms in held_out:
        unseen = sorted({int(z) for z in atoms.numbers} - known)
        if unseen:
            names = ", ".join(chemical_symbols[z] for z in unseen)
            raise DataError(
                f"frame '{id_of(atoms)}' is held out and has {names}, which no training frame has.",
                hint="Give training frames with every element, in a group of their own.",
            )
