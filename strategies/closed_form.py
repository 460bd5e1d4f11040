"""Transfer learning in closed form: ridge regression of the last layer on the features of a pre-trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from scipy.linalg import orth

from mfbench.mfcore.core import LAST, Core
from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.errors import BudgetError, SelfCheckError
from mfbench.mfcore.fidelity import Label, LabelSet
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.training.budget import Stage, Stopwatch
from mfbench.mfcore.training.config import LossConfig
from mfbench.mfcore.training.selection import is_as_good
from mfbench.strategies.fine_tuning import FineTuning
from mfbench.strategies.fit_context import FitContext

Array = NDArray[np.float64]

PENALTIES = 10.0 ** np.arange(-12.0, 4.0)
"""Penalties that are tried, in units of the mean diagonal element of the normal equations; ascending."""

PASS_COST = 1.0 / 3.0
"""Atom gradients of energies and forces of an atom without the gradient by weights, which a training step has, too."""

_TOLERANCE = 1e-3


class TransferRidge(FineTuning):
    """Pre-train on LF, then fit the last layer to HF by ridge regression, around its pre-trained weights.

    The energy is linear in the last layer's weights, and so are forces and stress: features are answers with one of the
    weights set to one. (Linear probing: Kumar et al., ICLR 2022, arXiv 2202.10054; ridge regression of energies and
    forces on the features of a pre-trained potential: Falk et al., NeurIPS 2023, arXiv 2306.01589.) The penalty is
    chosen on the validation frames: the largest whose error is within one standard error of the lowest.
    """

    name: ClassVar[str] = "transfer_ridge"
    summary: ClassVar[str] = "pre-train on low fidelity, ridge regression of the last layer on high fidelity"
    usual: ClassVar[bool] = False
    position: ClassVar[int] = 51
    marker: ClassVar[str] = "p"
    line: ClassVar[str] = ":"

    def _fit(self, run: FitContext) -> Potential:
        high = run.data.high
        frames, validation = run.data.train[high], run.data.validation
        n_passes = 2 + sum(p.numel() for p in _last_layer(run.core(run.data.fidelities)))
        stage = Stage(f"{high} (ridge)", PASS_COST * n_passes * sum(map(len, frames)), fidelity=high)
        left = 1.0 - stage.atom_gradients / run.budget.atom_gradients
        if left <= 0.0:
            raise BudgetError(
                f"stage '{stage.name}': {run.budget.atom_gradients:.6g} atom gradients do not pay for the features of "
                f"{len(frames)} frames, {stage.atom_gradients:.6g}. Give a larger budget (twice that leaves half of it "
                "for the pre-training), fewer HF frames, or another arm."
            )
        core = self.pretrained(run, share=left)
        refit = run.policy == "residual"
        with Stopwatch(stage):
            labels, loss = run.data.labels[high], run.settings.training.loss
            learned, held = (linear_in_last_layer(core, f, high, labels, loss) for f in (frames, validation))
            start = torch.cat([p.detach().flatten() for p in _last_layer(core)]).double().cpu().numpy()
            change = ridge(learned.without_composition() if refit else learned, held, start)
            _set(core, start + change)
            if refit:
                run.refit_reference(core, high, start=high)
        potential = Potential(self.name, [core], {high: (Component(0, high),)})
        predicted = potential.predict(validation, high, forces=False).energies
        errors = [abs(e - energy_of(a, high)) / len(a) for e, a in zip(predicted, validation, strict=True)]
        stage.validation_energy_mae_ev_per_atom = float(np.mean(errors)) if np.isfinite(errors).all() else None
        stage.validation_atom_evaluations = float(n_passes * sum(map(len, validation)))
        stage.best_spent, stage.stopped, stage.frames_seen = stage.atom_gradients, "budget", {high: len(frames)}
        run.ledger.stages.append(stage)
        return potential


@dataclass(frozen=True)
class Linear:
    """Labels of B frames as linear functions of p weights: rows of `features` times weights are near `target`.

    Attributes
    ----------
    features, target
        (rows, p) and (rows,); energies per atom come first, one of each frame, then components of forces and stress.
        Rows are weighted so that their squares sum up to the loss; those without a label are zero.
    frame
        (rows,) frame that each is of.
    fractions
        (B, species) shares of the elements.
    """

    features: Array
    target: Array
    frame: NDArray[np.int64]
    fractions: Array

    def without_composition(self) -> Linear:
        """The same with what is linear in the composition taken out of energies: reference energies can mend it."""
        n, known = len(self.fractions), self.target[: len(self.fractions)] != 0.0
        basis = orth(self.fractions * known[:, None], rcond=1e-10)
        if 2 * basis.shape[1] > known.sum():  # of so few energies nothing would be left
            return self
        features, target = self.features.copy(), self.target.copy()
        features[:n] -= basis @ (basis.T @ features[:n])
        target[:n] -= basis @ (basis.T @ target[:n])
        return Linear(features, target, self.frame, self.fractions)

    def scores(self, weights: Array) -> Array:
        """Loss of each frame, (B,), whose sum is that of all."""
        errors = (self.target - self.features @ weights) ** 2
        return np.asarray(np.bincount(self.frame, errors, minlength=len(self.fractions)), dtype=np.float64)


def ridge(learned: Linear, held: Linear, start: Array) -> Array:
    """Change of weights (p,) that fits the learned labels, with the penalty that the held-out ones choose; float64."""
    rest = learned.target - learned.features @ start
    values, vectors = np.linalg.eigh(learned.features.T @ learned.features)
    right = vectors.T @ (learned.features.T @ rest)
    unit = max(float(values.mean()), 1e-300)
    held = held.without_composition()
    best: Array | None = None
    chosen = np.zeros_like(start)
    for penalty in PENALTIES:
        change = vectors @ (right / (np.maximum(values, 0.0) + penalty * unit))
        scores = held.scores(start + change)
        lowest = best is None or scores.mean() < best.mean()
        best = scores if lowest else best
        if lowest or (best is not None and is_as_good(scores, best)):
            chosen = change
    return chosen


def linear_in_last_layer(
    core: Core, frames: Sequence[Atoms], fidelity: str, labels: LabelSet, loss: LossConfig
) -> Linear:
    """Features and labels of frames, by one evaluation for each weight of the last layer.

    Raises
    ------
    SelfCheckError
        If the energy is not linear in these weights.
    """
    store = GraphStore(frames, [fidelity] * len(frames), core.fidelities, {fidelity: labels}, core.species, core.cutoff)
    parts = np.array_split(np.arange(len(frames)), max(1, int(store.n_atoms.sum()) // 2000))
    batches = [store.batch(part).to(core.device, core.dtype) for part in parts]
    want = [label in labels for label in (Label.FORCES, Label.STRESS)]
    counts = composition(frames, core.species)
    n_atoms = counts.sum(axis=1)

    def answers() -> Array:
        energies: list[Array] = []
        others: tuple[list[Array], list[Array]] = ([], [])
        for batch in batches:
            output = core(batch, *want)
            energies.append(_numbers(output.energy))
            for kind, values in enumerate((output.forces, output.stress)):
                if want[kind] and values is not None:
                    others[kind].append(_numbers(values).ravel())
        return np.concatenate([np.concatenate(energies) / n_atoms, *(x for kind in others for x in kind)])

    start = torch.cat([p.detach().flatten() for p in _last_layer(core)]).double().cpu().numpy()
    now = answers()
    _set(core, np.zeros_like(start))
    constant, columns = answers(), []
    for unit in np.eye(len(start)):
        _set(core, unit)
        columns.append(answers() - constant)
    _set(core, start)
    features = np.stack(columns, axis=1)
    if not np.allclose(features @ start + constant, now, rtol=_TOLERANCE, atol=_TOLERANCE * np.abs(now).max()):
        raise SelfCheckError(f"core '{core.name}': its energy is not linear in its parameters '{LAST}'.")
    reference = counts @ core.reference_of(fidelity)
    energies = [energy_of(a, fidelity) if Label.ENERGY in labels else np.nan for a in frames]
    known, weights = [(np.array(energies) - reference) / n_atoms], [loss.energy_weight]
    index = [np.arange(len(frames))]
    if want[0]:
        known.append(np.concatenate([forces_of(a, fidelity).ravel() for a in frames]))
        weights.append(loss.forces_weight)
        index.append(np.repeat(np.arange(len(frames)), 3 * n_atoms.astype(int)))
    if want[1]:
        known.append(np.concatenate([stress_of(a, fidelity).ravel() for a in frames]))
        weights.append(loss.stress_weight)
        index.append(np.repeat(np.arange(len(frames)), 9))
    target = np.concatenate(known) - constant
    scale = np.concatenate(
        [np.full(len(k), np.sqrt(w / max(1, np.isfinite(k).sum()))) for k, w in zip(known, weights, strict=True)]
    )
    scale = np.where(np.isfinite(target), scale, 0.0)
    return Linear(
        np.nan_to_num(features) * scale[:, None],
        np.nan_to_num(target) * scale,
        np.concatenate(index),
        counts / n_atoms[:, None],
    )


def _last_layer(core: Core) -> list[torch.nn.Parameter]:
    names = core.in_groups([LAST])
    return [parameter for name, parameter in core.named_parameters() if name in names]


def _set(core: Core, weights: Array) -> None:
    flat, place = torch.from_numpy(weights), 0
    with torch.no_grad():
        for parameter in _last_layer(core):
            part = flat[place : place + parameter.numel()]
            parameter.copy_(part.view(parameter.shape))
            place += parameter.numel()


def _numbers(values: torch.Tensor) -> Array:
    return values.detach().double().cpu().numpy()
