"""The training budget that a time pays for, from trainings that are measured on the frames themselves."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness.cost import makespan
from mfbench.benchmarks.harness.elsewhere import InFolder, call_in_folder
from mfbench.benchmarks.harness.execute import compute_run
from mfbench.benchmarks.harness.executors.base import Died, Done, Executor, Job, Tell, Told
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import prepare_one, split_of
from mfbench.benchmarks.harness.runner import shares
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import BudgetError, ConfigError, DataError, SelfCheckError, TrainingError
from mfbench.mfcore.provenance import digest
from mfbench.mfcore.sealed import read_sealed, write_sealed

FILE = "time.json"
"""Record, in the folder of the runs or of a fit that goes on, of the budgets that were measured."""

_SCHEMA = 1
_REMEDY = "Remove it: the budget is then measured again."
_LEAST_S = 1.5  # by which two measured trainings differ, s
_GROWTH = 4.0  # of the budget from one measured training to the next
_FIRST_STEPS, _FRAMES_A_STEP = 8, 16
_ENOUGH = 1000  # times the first budget


@dataclass(frozen=True)
class Rate:
    """Time of a run as a function of its budget.

    Attributes
    ----------
    fixed_s
        Time that does not depend on the budget: graphs, selection, scoring, s.
    s_per_atom_gradient
        Time of training.
    """

    fixed_s: float
    s_per_atom_gradient: float

    def seconds(self, budget: float) -> float:
        """Time of a run with a budget, s."""
        return self.fixed_s + self.s_per_atom_gradient * budget


@dataclass(frozen=True)
class Measured:
    """Measured rates of the runs of a comparison.

    Attributes
    ----------
    rates
        By arm and core.
    setup_s
        Time until workers have read their data, s.
    first
        Smallest budget that was measured, atom gradients.
    """

    rates: Mapping[tuple[str, str], Rate]
    setup_s: float
    first: float

    def seconds(self, specs: Sequence[RunSpec], budget: float, processes: int) -> float:
        """Time of all runs with a budget, s."""
        return self.setup_s + makespan((self.rate(spec).seconds(budget) for spec in specs), processes)

    def rate(self, spec: RunSpec) -> Rate:
        """Rate of a run."""
        return self.rates[spec.arm, spec.core_name]


@dataclass(frozen=True)
class Calibration:
    """Trainings of one arm to be measured: a job of an executor; without a folder it makes one of its own."""

    spec: RunSpec
    first: float
    longest_s: float
    folder: Path | None


def first_budget(training: TrainingSet) -> float:
    """Return the budget of the shortest training that is measured: a few steps of each stage."""
    sizes = [len(a) for frames in training.train.values() for a in frames]
    steps = _FIRST_STEPS * _FRAMES_A_STEP * sum(sizes) / len(sizes)
    # Δ on a model takes gradients on all HF frames before its second stage
    return float(max(steps, 4 * sum(len(a) for a in training.train[training.high]), 50 * max(sizes)))


def measure(
    train: Callable[[float], object],
    first: float,
    longest_s: float,
    *,
    warm: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Rate:
    """Measure trainings with growing budgets, until two of them differ by a time that says something.

    Parameters
    ----------
    train
        Trains with a budget (atom gradients). A training that fails its own checks has taken its time, too.
    first
        Smallest budget; the training before it, which loads and compiles, does not count.
    longest_s
        Time after which no longer training is begun, s.
    warm
        Whether such a training has been in this process already.

    Raises
    ------
    MfbenchError
        If a training is not possible.
    """

    def timed(budget: float) -> float:
        started = clock()
        with suppress(SelfCheckError, TrainingError):  # of a training that is too short to be one
            train(budget)
        return clock() - started

    start = clock()
    if not warm:
        timed(0.9 * first)
    shortest = timed(first)
    budget, seconds = first, shortest
    while seconds - shortest < _LEAST_S and budget < _ENOUGH * first:
        if budget > first and clock() - start + _GROWTH * (seconds - shortest) > longest_s:
            break
        budget *= _GROWTH
        seconds = timed(budget)
    slope = (seconds - shortest) / (budget - first)
    if slope <= 0.0:  # trainings that are over before a clock can tell
        return Rate(0.0, max(seconds, 1e-9) / budget)
    return Rate(max(0.0, shortest - slope * first), slope)


_WARM: set[str] = set()  # cores that have been trained in this process


def calibrate(job: Calibration, tell: Tell) -> Rate:
    """Measure an arm of a comparison where its runs are computed; tells when it has read its data."""
    if job.folder is None:
        with tempfile.TemporaryDirectory(prefix="mfbench-time-") as own_folder:
            return calibrate(replace(job, folder=Path(own_folder)), tell)
    split_of(job.spec)
    tell("ready")
    count, warm, folder = 0, job.spec.core_name in _WARM, job.folder

    def train(budget: float) -> None:
        nonlocal count
        run = prepare_one(replace(job.spec, budget=budget))
        own = folder / f"{job.spec.arm}-{job.spec.core_name}-{job.spec.seed}-{count}"
        # what loads and compiles leaves nothing to others
        shared = own / "shared" if count == 0 and not warm else folder / "shared"
        count += 1
        compute_run(run, own, shared, lambda spent: None)

    found = measure(train, job.first, job.longest_s, warm=warm)
    _WARM.add(job.spec.core_name)
    return found


def measure_comparison(
    specs: Sequence[RunSpec],
    executor: Executor,
    processes: int,
    longest_s: float,
    folder: Path | None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Measured:
    """Measure every arm and core of a comparison, on as many processes as it will have.

    Parameters
    ----------
    specs
        All runs; of each arm and core one with the most HF frames is measured.
    longest_s
        Time that the measurement of one arm is meant to take at most, s.
    folder
        For trainings that are thrown away; None: the processes are of other machines, which have folders of their own.
    tell
        Told how many arms of how many are measured.

    Raises
    ------
    ConfigError
        If no arm can be trained; with the reason of the first.
    """
    chosen = {(s.arm, s.core_name): s for s in specs if (s.draw, s.seed) == (specs[0].draw, specs[0].seed)}
    first = first_budget(split_of(specs[-1]).training)
    jobs = [Calibration(spec, first, longest_s, folder) for spec in chosen.values()]
    arms = len(jobs)
    while len(jobs) < processes:  # all processes are busy in the comparison, too
        again = jobs[len(jobs) % arms]
        jobs.append(replace(again, spec=replace(again.spec, seed=again.spec.seed + len(jobs))))
    started, ready, rates, reasons = time.perf_counter(), list[float](), dict[tuple[str, str], Rate](), list[str]()
    done = 0
    calls = [Job(calibrate, job, shares(job.spec)) for job in jobs]
    if folder is None:
        calls = [Job(call_in_folder, InFolder(calibrate, job, Path.cwd()), shares(job.spec)) for job in jobs]
    for event in executor.run(calls):
        if isinstance(event, Told):
            if len(ready) < processes:
                ready.append(time.perf_counter() - started)
        elif isinstance(event, Done):
            spec = jobs[event.job].spec
            rates.setdefault((spec.arm, spec.core_name), event.value)
            done += 1
            tell(min(done, arms), arms)
        elif isinstance(event, Died):
            reasons.append(f"{jobs[event.job].spec.arm}: {event.reason}")
    if not rates:
        raise ConfigError(f"--time: no arm could be measured; {reasons[0]}.")
    slowest = max(rates.values(), key=lambda rate: rate.s_per_atom_gradient)
    return Measured({key: rates.get(key, slowest) for key in chosen}, max(ready, default=0.0), first)


def budget_for(seconds: Callable[[float], float], available_s: float, least: float) -> float:
    """Return the largest budget, in two digits, whose time is available.

    Parameters
    ----------
    seconds
        Time of a budget (atom gradients), which grows with it.
    available_s
        Time, s.
    least
        Smallest budget that may be.

    Raises
    ------
    BudgetError
        If the time does not pay for it.
    """
    if (needed := seconds(least)) > available_s:
        raise BudgetError(f"{available_s:.0f} s do not pay for {least:.3g} atom gradients: they take {needed:.0f} s.")
    low = high = least
    while seconds(high) <= available_s:
        low, high = high, 2.0 * high
    while high / low > 1.0 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if seconds(middle) <= available_s else (low, middle)
    unit = 10.0 ** (math.floor(math.log10(low)) - 1)
    return max(least, math.floor(low / unit * (1.0 + 1e-6)) * unit)


def question(specs: Sequence[RunSpec], data: Mapping[str, str], time_s: float) -> str:
    """Return a key of what a time was given for: the same command has the same."""
    runs = [[s.arm, s.core_name, s.regime.model_dump(mode="json"), s.seed, s.draw, dict(s.settings)] for s in specs]
    return digest({"time_s": time_s, "data": dict(data), "runs": runs})


def recorded(folder: Path, asked: str) -> float | None:
    """Return the budget that was measured for a question before; None if there is none.

    Raises
    ------
    DataError
        If the record cannot be read or was changed.
    """
    found = next((entry for entry in _entries(folder) if entry["asked"] == asked), None)
    return None if found is None else float(found["atom_gradients"])


def record(folder: Path, asked: str, atom_gradients: float, more: Mapping[str, Any]) -> None:
    """Keep the budget of a question in a folder, beside those of others."""
    others = [entry for entry in _entries(folder) if entry["asked"] != asked]
    entries = [*others, {"asked": asked, "atom_gradients": atom_gradients, **more}]
    write_sealed(folder / FILE, {"schema": _SCHEMA, "entries": entries})


def _entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / FILE
    if not path.exists():
        return []
    entries = read_sealed(path, "the record of measured budgets", _SCHEMA, _REMEDY, keys=("entries",))["entries"]
    known = (isinstance(e, dict) and isinstance(e.get("atom_gradients"), float) and "asked" in e for e in entries)
    if not all(known):
        raise DataError("the record of measured budgets has an entry that is none.", file=path, hint=_REMEDY)
    return list(entries)
