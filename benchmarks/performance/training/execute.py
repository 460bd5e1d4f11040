"""Run what the results file lacks: one training and its test a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench import mfcore, strategies
from mfbench.benchmarks.performance.harness.store import Record, ResultsFile, now
from mfbench.benchmarks.performance.measure import machine
from mfbench.benchmarks.performance.training.settings import Problem, Settings, Variant
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.registry import make_task
from mfbench.mfcore.data.frames import energy_of, forces_of
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import TrainingError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.metrics.errors import (
    energy_detrended_mae_mev_per_atom,
    energy_mae_mev_per_atom,
    force_mae_mev_per_a,
)
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.provenance import digest, source_hash
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm

Report = Callable[[float, float], None]


def results_file(path: Path) -> ResultsFile:
    """The trainings of the study."""
    return ResultsFile(path, "study of training", "--out", "runs", needs=("key", "problem", "variant", "status"))


@lru_cache(maxsize=4)
def frames_of(problem: Problem, repeat: int) -> tuple[TrainingSet, dict[str, list[Atoms]]]:
    """Training set and tests by name, of one draw.

    Raises
    ------
    DataError
        If the task's files cannot be had.
    """
    task = make_task(problem.task)
    if problem.most_energy is None:
        split = task.split(Regime.model_validate(dict(problem.regime)), repeat)
        return split.training, {name: list(frames) for name, frames in split.tests.items()}
    own = [a for a in task.frames if not problem.molecule or a.info.get("molecule") == problem.molecule]
    energies = np.array([energy_of(a, task.high) for a in own])
    lowest = np.argsort(energies, kind="stable")[: int(problem.most_energy * len(own))]
    chosen = [own[i] for i in np.random.default_rng(repeat).permutation(lowest)]
    n_high = int(problem.regime["n_high"])
    labels = {task.high: LabelSet.parse(str(problem.regime["labels"]).removeprefix("high="))}
    n_seen = n_high + problem.n_validation
    training = TrainingSet((task.high,), {task.high: chosen[:n_high]}, labels, chosen[n_high:n_seen])
    return training, {"test": chosen[n_seen:][: problem.n_test]}


def settings_of(problem: Problem, variant: Variant) -> dict[str, Any]:
    """Settings of the arm: the problem's network, changed as the variant says."""
    merged: dict[str, Any] = {"core": dict(problem.core), "training": {}}
    for section, values in variant.settings.items():
        merged[section] |= deepcopy(dict(values))
    return merged


def run_key(problem: Problem, settings: Settings, budget: float, repeat: int) -> str:
    """Hash of all that decides a row, but the machine: the code of training and strategies included."""
    content = [vars(problem), settings, budget, repeat, _code()]
    return digest(content)


@lru_cache(maxsize=1)
def _code() -> str:
    return source_hash([Path(mfcore.__file__).parent, Path(strategies.__file__).parent])


def errors(potential: Potential, high: str, tests: Mapping[str, list[Atoms]], forces: bool) -> dict[str, float]:
    """Errors of all tests together and, where there are several, of each; energies also as a share of a constant's."""
    found: dict[str, float] = {}
    parts = {"": [a for frames in tests.values() for a in frames]}
    if len(tests) > 1:
        parts |= {f"_{name}": frames for name, frames in tests.items()}
    for suffix, frames in parts.items():
        predicted = potential.predict(frames, high, forces=forces)
        true, counts = np.array([energy_of(a, high) for a in frames]), composition(frames)
        sizes = counts.sum(1)
        found[f"energy_mae_mev_per_atom{suffix}"] = energy_mae_mev_per_atom(predicted.energies, true, sizes)
        detrended = energy_detrended_mae_mev_per_atom(predicted.energies, true, counts)
        constant = energy_detrended_mae_mev_per_atom(np.zeros(len(true)), true, counts)
        found[f"energy_detrended_mae_mev_per_atom{suffix}"] = detrended
        found[f"energy_mae_by_constant{suffix}"] = detrended / constant
        if forces:
            reference = [forces_of(a, high) for a in frames]
            found[f"force_mae_mev_per_A{suffix}"] = force_mae_mev_per_a(predicted.forces or [], reference)
    return found


def train(problem: Problem, variant: Variant, budget: float, repeat: int, report: Report) -> dict[str, Any]:
    """Train and test; a training that diverges is a row with status "failed"."""
    data, tests = frames_of(problem, repeat)
    forces = bool(np.isfinite(forces_of(next(iter(tests.values()))[0], data.high)).all())
    start = time.process_time()
    try:
        potential = make_arm(problem.arm, settings_of(problem, variant)).fit(
            data, Budget(budget), repeat, progress=lambda _, spent, of: report(spent, of)
        )
    except TrainingError as error:
        return {"status": "failed", "reason": str(error)}
    cpu_s = time.process_time() - start
    ledger = potential.ledger
    return {
        "status": "ok",
        "errors": errors(potential, data.high, tests, forces),
        "train_cpu_s": ledger.cpu_s,
        "cpu_s": cpu_s,
        "atom_gradients": ledger.atom_gradients,
        "steps": ledger.steps,
        "n_parameters": ledger.n_parameters,
    }


def study(
    wanted: Iterable[tuple[Problem, Variant, float, int]],
    out: ResultsFile,
    report: Callable[[str, float], None] = lambda *_: None,
) -> list[Record]:
    """Train what the results file lacks, and return the rows that are wanted.

    Parameters
    ----------
    wanted
        Problem, variant, atom gradients, and repeat: the draw of the frames and the seed of weights and order.
    out
        Each row is added as soon as it is done.
    report
        Told what is trained and the atom gradients since it was told last.
    """
    rows = []
    for problem, variant, budget, repeat in wanted:
        settings = settings_of(problem, variant)
        key = run_key(problem, settings, budget, repeat)
        text = f"{problem.name}, {variant.name}, {budget:g} atom gradients, repeat {repeat}"
        row = out.by_key().get(key)
        if row is None:
            told = [0.0]

            def tell(spent: float, _: float, text: str = text, told: list[float] = told) -> None:
                report(text, max(0.0, spent - told[0]))
                told[0] = max(told[0], spent)

            report(text, 0.0)
            row = {
                "key": key,
                "problem": problem.name,
                "factor": variant.factor,
                "variant": variant.name,
                "settings": {section: dict(values) for section, values in variant.settings.items()},
                "budget": budget,
                "repeat": repeat,
                **train(problem, variant, budget, repeat, tell),
                "machine": machine(),
                "date": now(),
            }
            out.keep(row)
        else:
            report(text, budget)
        rows.append(row)
    return rows
