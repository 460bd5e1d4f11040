"""Peers beside the core on a problem of the study: their own recommended settings, the same frames."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Labelled, Network
from mfbench.benchmarks.performance.harness.store import Record, ResultsFile, now
from mfbench.benchmarks.performance.measure import machine
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.execute import train as train_contender
from mfbench.benchmarks.performance.parity.keys import run_key
from mfbench.benchmarks.performance.parity.settings import Job, Training
from mfbench.benchmarks.performance.training.execute import frames_of
from mfbench.benchmarks.performance.training.settings import Problem
from mfbench.mfcore.data.frames import energy_of, forces_of

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Recipe:
    """Settings that a peer's authors recommend, in the loop of the accuracy comparison.

    Attributes
    ----------
    source
        Of the settings.
    network, training, learning_rate
        As in a :class:`mfbench.benchmarks.performance.parity.settings.Job`; the passes follow from the budget. The
        learning rate falls by a cosine to its end, so that each budget is a training of its own, for all contenders
        alike; where a plateau lowers it, a training of a given length would depend on chance.
    """

    source: str
    network: Network
    training: Training
    learning_rate: float


RECIPES = {
    "mace": Recipe(
        "example of MACE's readme (128x0e + 128x1o, AMSGrad, batches of 10, EMA 0.99) and its default loss weights",
        Network(cutoff=4.0, lmax=3, hidden_lmax=1, n_layers=2, channels=128, radial_hidden=(64, 64, 64)),
        Training(batch_frames=10, energy_weight=1.0, force_weight=100.0, ema=0.99, amsgrad=True),
        1e-2,
    ),
    "nequip": Recipe(
        "configuration of NequIP's tutorial (4 layers, 32 features, l up to 2, batches of 5, EMA 0.999, 1 : 1 loss)",
        Network(cutoff=4.0, lmax=2, n_layers=4, channels=32, radial_hidden=(64, 64)),
        Training(batch_frames=5, energy_weight=1.0, force_weight=1.0, ema=0.999),
        1e-2,
    ),
}


def data_of(problem: Problem, repeat: int) -> ParityData:
    """Give the frames that :func:`mfbench.benchmarks.performance.training.execute.frames_of` draws."""
    training, tests = frames_of(problem, repeat)

    def labelled(frames: list[Atoms]) -> Labelled:
        return Labelled(
            frames=[Atoms(a.numbers, a.positions) for a in frames],
            energies=np.array([energy_of(a, training.high) for a in frames]),
            forces=[forces_of(a, training.high) for a in frames],
        )

    return ParityData(
        training=labelled(list(training.train[training.high])),
        validation=labelled(list(training.validation)),
        test=labelled([a for frames in tests.values() for a in frames]),
    )


def job_of(name: str, data: ParityData, budget: float, seed: int) -> Job:
    """Make the training of a peer that takes as many atom gradients as whole passes allow."""
    recipe = RECIPES[name]
    epochs = max(1, math.floor(budget / _atoms_of_a_pass(data)))
    checks = min(epochs, recipe.training.checks)
    return Job(name, recipe.learning_rate, seed, recipe.network, replace(recipe.training, epochs=epochs, checks=checks))


def peer_row(
    name: str, problem: Problem, budget: float, repeat: int, out: ResultsFile, python: str, report: Report
) -> Record:
    """Train a peer, if the results file lacks it, and keep its row beside those of the core.

    Parameters
    ----------
    name
        Of :data:`RECIPES`.
    problem
        With forces; its frames are the same as the core's.
    budget
        Atom gradients.
    repeat
        Draw of the frames, seed of the weights.
    out
        Results file of the study.
    python
        Interpreter in which the peer is installed.
    report
        Told the atom gradients at the end.
    """
    data = data_of(problem, repeat)
    job = job_of(name, data, budget, repeat)
    key = run_key(job, data.sha256())
    text = f"{problem.name}, {name}, {budget:g} atom gradients, repeat {repeat}"
    report(text, 0.0)
    row = out.by_key().get(key)
    if row is None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "data.npz")
            data.save(file)
            found = train_contender(job, file, python, 1)
        row = {
            "key": key,
            "problem": problem.name,
            "factor": "peer",
            "variant": f"{name}, recommended",
            "settings": {"source": RECIPES[name].source, **job.as_dict()},
            "budget": budget,
            "repeat": repeat,
            **_outcome(found, data),
            "machine": machine(),
            "date": now(),
        }
        out.keep(row)
    report(text, budget)
    return row


def _atoms_of_a_pass(data: ParityData) -> int:
    return sum(len(atoms) for atoms in data.training.frames)


def _outcome(found: Mapping[str, Any], data: ParityData) -> dict[str, Any]:
    if found["status"] != "ok":
        return {"status": "failed", "reason": found["reason"]}
    return {
        "status": "ok",
        "errors": {name: found["test"][name] for name in ("force_mae_mev_per_A", "energy_mae_mev_per_atom")},
        "train_cpu_s": found["train_cpu_s"],
        "atom_gradients": _atoms_of_a_pass(data) * found["history"][-1][0],
        "steps": found["steps"],
        "n_parameters": found["n_parameters"],
        "versions": found["versions"],
    }
