"""Δ-learning: a network for HF − LF, on LF labels or on an LF model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from pydantic import Field

from mfbench.mfcore.core import Core
from mfbench.mfcore.data.frames import energy_of, forces_of, set_labels, stress_of
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.potentials.predictions import Predictions
from mfbench.mfcore.training.budget import Stage
from mfbench.strategies.base import Strategy
from mfbench.strategies.fit_context import DELTA, FitContext
from mfbench.strategies.settings import StrategySettings


class DeltaLabels(Strategy):
    """Learn HF − LF labels; an LF calculation is needed with every prediction."""

    name: ClassVar[str] = "delta_labels"
    summary: ClassVar[str] = "difference of high and low labels; needs a low-fidelity calculation per prediction"
    needs_paired: ClassVar[bool] = True
    uses_every_low: ClassVar[bool] = False
    self_contained: ClassVar[bool] = False
    position: ClassVar[int] = 70
    colour: ClassVar[str] = "#009E73"
    marker: ClassVar[str] = "X"
    line: ClassVar[str] = "--"

    def _fit(self, run: FitContext) -> Potential:
        low, high = run.data.low[-1], run.data.high
        for number, atoms in enumerate(run.data.train[high]):
            if not np.isfinite(energy_of(atoms, low)):
                raise DataError(
                    f"Δ-learning on labels needs '{low}' labels of every '{high}' frame.",
                    frame=number,
                    key=f"{low}_energy",
                    hint="Compute them, or use delta_model.",
                )
        core = difference_core(run, low_labels(run.data.train[high], low), low_labels(run.data.validation, low))
        return Potential(self.name, [core], {high: (Component(0, DELTA),)}, delta_baseline={high: low})


class DeltaModelSettings(StrategySettings):
    """Options of Δ-learning on a model."""

    base_share: float = Field(0.6, gt=0, lt=1, description="Share of the budget spent on the LF model.")


class DeltaModel(Strategy):
    """Train an LF model, then a second network on what HF differs from its predictions; self-contained.

    A checkpoint takes the place of the LF model, with HF reference energies; the second network starts from scratch.
    """

    name: ClassVar[str] = "delta_model"
    summary: ClassVar[str] = "difference of high labels and a low-fidelity model; self-contained, two evaluations"
    uses_every_low: ClassVar[bool] = False
    only_low_stage: ClassVar[bool] = True
    shares_low_stage: ClassVar[bool] = True
    position: ClassVar[int] = 80
    colour: ClassVar[str] = "#009E73"
    marker: ClassVar[str] = "*"
    line: ClassVar[str] = "-"
    Settings: ClassVar[type[StrategySettings]] = DeltaModelSettings

    def _fit(self, run: FitContext) -> Potential:
        assert isinstance(self.settings, DeltaModelSettings)
        high = run.data.high
        low = high if run.starts else run.data.low[-1]
        base = run.core([high] if run.starts else run.data.fidelities)
        if not run.starts:
            budget = run.budget.fraction(self.settings.base_share)
            run.train(base, low, {low: run.data.train[low]}, run.data.labels, budget, share=True)
        model = Potential("base", [base], {low: (Component(0, low),)})
        train = model.predict(run.data.train[high], stress=True)
        validation = model.predict(run.data.validation, stress=True)
        atoms = float(sum(len(a) for a in run.data.train[high]))
        run.ledger.stages.append(Stage(f"{low} model on {high} frames", atom_gradients=atoms))
        core = difference_core(run, train, validation, number=1)  # not a copy of what the base started from
        return Potential(
            self.name, [base, core], {low: (Component(0, low),), high: (Component(0, low), Component(1, DELTA))}
        )


def difference_core(run: FitContext, train: Predictions, validation: Predictions, number: int = 0) -> Core:
    """A network trained, on what is left of the budget, for HF less a baseline; no repulsion: the baseline has it."""
    difference = run.on(difference_set(run.data, train, validation))
    data, core = difference.data, difference.core([DELTA], difference=True, number=number)
    difference.train(core, DELTA, data.train, data.labels, run.left, validation=data.validation)
    return core


def low_labels(frames: Sequence[Atoms], low: str) -> Predictions:
    """The LF labels that frames carry, in the form of predictions; NaN where there are none."""
    stress = np.stack([stress_of(a, low) for a in frames])
    return Predictions(np.array([energy_of(a, low) for a in frames]), [forces_of(a, low) for a in frames], stress)


def difference_set(data: TrainingSet, train: Predictions, validation: Predictions) -> TrainingSet:
    """HF labels less a baseline, as the only fidelity of a training set.

    A label is kept where both HF (as the regime allows) and the baseline have it.
    """
    high, allowed = data.high, data.labels[data.high]

    def subtract(frames: Sequence[Atoms], base: Predictions) -> list[Atoms]:
        assert base.forces is not None
        assert base.stress is not None
        made = []
        for number, atoms in enumerate(frames):
            bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
            bare.info["structure_id"] = atoms.info.get("structure_id", str(number))
            values: dict[str, Any] = {}
            if Label.ENERGY in allowed:
                values["energy"] = energy_of(atoms, high) - base.energies[number]
            if Label.FORCES in allowed:
                values["forces"] = forces_of(atoms, high) - base.forces[number]
            if Label.STRESS in allowed:
                values["stress"] = stress_of(atoms, high) - base.stress[number]
            set_labels(bare, DELTA, **values)
            made.append(bare)
        return made

    return TrainingSet(
        (DELTA,),
        {DELTA: subtract(data.train[high], train)},
        {DELTA: allowed},
        subtract(data.validation, validation),
    )
