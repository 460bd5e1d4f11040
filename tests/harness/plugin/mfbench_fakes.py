"""A task and arms with analytic answers, registered as another package would: by entry points.

Energies are sums over atoms, so that the composition fit of `fake_mean` is exact: with `shift` s (eV/atom) its
HF energy error is |s| to rounding.
"""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import numpy as np
from ase import Atoms
from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from mfbench.benchmarks.tasks.base import Pools, Regime, Task
from mfbench.mfcore.data.frames import energy_of, set_labels
from mfbench.mfcore.files import write_text
from mfbench.mfcore.training.budget import Ledger, Stage
from mfbench.strategies import Strategy

SPECIES = (1, 2)
ENERGIES = {"low": np.array([-1.0, -3.0]), "high": np.array([-1.5, -2.0])}
N_GROUPS = 16
PER_GROUP = 3


def composition(frames):
    return np.array([[(frame.numbers == z).sum() for z in SPECIES] for frame in frames], dtype=float)


class FakeTask(Task):
    name = "fake_task"
    summary = "frames whose energies are sums over atoms"
    fidelities = ("low", "high")
    embedded = True

    def load(self):
        rng = np.random.default_rng(0)
        frames = []
        for group in range(N_GROUPS):
            for member in range(PER_GROUP):
                numbers = [1, 2, *list(rng.choice(SPECIES, size=3))]
                frame = Atoms(numbers, positions=rng.uniform(0, 6, size=(5, 3)))
                frame.info |= {"structure_id": f"s{group}-{member}", "group": f"g{group}"}
                for fidelity, energies in ENERGIES.items():
                    energy = float((composition([frame]) @ energies)[0])
                    set_labels(frame, fidelity, energy=energy, forces=np.zeros((5, 3)))
                frames.append(frame)
        return frames

    def pools(self, draw):
        order = np.random.default_rng([1, draw]).permutation(N_GROUPS - 4)
        groups = {"validation": {f"g{g}" for g in order[:2]}, "tests": {f"g{g}" for g in range(12, 16)}}
        groups["training"] = {f"g{g}" for g in order[2:]}
        parts = {n: [f for f in self.frames if f.info["group"] in g] for n, g in groups.items()}
        return Pools(
            training=parts["training"],
            gap_ids=None,
            validation=parts["validation"],
            n_validation=len(parts["validation"]),
            tests={"in_coverage": parts["tests"]},
        )

    def data_hashes(self):
        return {"fakes": os.environ.get("MFBENCH_FAKE_DATA", "0" * 64)}

    def label_cost(self, frames, fidelity, labels):
        return len(frames) * {"low": 1.0, "high": 100.0}[fidelity]


class LeakyTask(FakeTask):
    """One of its test frames is a rotated copy of a training frame."""

    name = "leaky_task"

    def load(self):
        frames = super().load()
        copy = frames[0].copy()
        copy.info |= {"structure_id": "copy", "group": "g12"}
        copy.rotate(40, "z")
        return [*frames, copy]

    def pools(self, draw):
        pools = super().pools(draw)
        first = self.frames[0]
        training = [first, *(f for f in pools.training if f is not first)]
        return Pools(
            training, None, [f for f in pools.validation if f is not first], pools.n_validation - 3, pools.tests
        )


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shift: float = 0.0
    steps: int = 0
    pause_s: float = 0.0


class MeanPotential:
    requires_low_labels = ()

    def __init__(self, energies, ledger, record):
        self.energies, self.ledger, self.record = energies, ledger, record
        self.fidelities = ("high",)

    def predict(self, frames, fidelity=None, *, forces=True, stress=False):
        return SimpleNamespace(
            energies=composition(frames) @ self.energies,
            forces=[np.full((len(f), 3), 0.1 / self.record["n_high"]) for f in frames],
            stress=None,
        )


class FakeMean(Strategy):
    name = "fake_mean"
    summary = "least squares of HF energies on the composition"
    uses_low = False

    def __init__(self, settings=None):
        self.settings = Settings.model_validate(dict(settings or {}))

    def _fit(self, run):
        raise NotImplementedError("it fits without a core")

    def fit(self, train, budget, seed, *, progress=None, workdir=None, shared=None):
        """Spend the budget in `steps` steps, each noted in the work folder, and go on from the last one."""
        alive = FileLock(os.environ["MFBENCH_FAKE_LOG"] + ".lock")
        alive.acquire()  # freed when this process ends
        counter = workdir / "steps"
        first = int(counter.read_text()) if counter.exists() else 0
        stage = Stage("fit")
        for step in range(first, self.settings.steps):
            time.sleep(self.settings.pause_s)
            with open(os.environ["MFBENCH_FAKE_LOG"], "a") as log:
                log.write(f"{step}\n")
            write_text(counter, str(step + 1))  # a kill may come at any time
            progress("fit", budget.atom_gradients * (step + 1) / self.settings.steps, budget.atom_gradients)
        alive.release()
        stage.atom_gradients = budget.atom_gradients
        frames = train.train[train.high]
        labels = np.array([energy_of(f, train.high) for f in frames])
        energies = np.linalg.lstsq(composition(frames), labels, rcond=None)[0] + self.settings.shift
        return MeanPotential(energies, Ledger([stage], n_parameters=2), {"n_high": len(frames), "first": first})


class FakeSteps(FakeMean):
    name = "fake_steps"
    uses_low = True

    def __init__(self, settings=None):
        super().__init__({"steps": 10, "pause_s": 0.2} | dict(settings or {}))


class FakeAll(FakeMean):
    name = "fake_all"
    needs_all_high = True


class FakeFailing(FakeMean):
    name = "fake_failing"
    uses_low = True

    def fit(self, *args, **kwargs):
        raise RuntimeError("the moon was in the wrong place")


class FakeDying(FakeMean):
    name = "fake_dying"
    uses_low = True

    def fit(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)


REGIME = Regime(n_low=10, n_high=9, labels="low=EF,high=E", coverage="full")
