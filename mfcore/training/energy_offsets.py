"""Reference energies that are solved for along with the weights, where a stage learns from energies alone.

Frames of one composition differ in energy by far less than networks with random weights differ from all of them. What
a step does to the mean error then drowns what it does to the differences: weights are driven to where the network
answers with one number, and few find their way back. The error of reference energies is linear in the composition, and
its least squares are known in closed form, so that a step need not see it (variable projection, Golub and Pereyra,
SIAM J. Numer. Anal. 10, 413 (1973)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.linalg import orth
from torch import Tensor

from mfbench.mfcore.core import Core
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.output_checks import checked_output

_ATOMS = 2000
"""Atoms of the training frames, at most, that reference energies are solved on."""

_LEAST_FRAMES = 2
"""A batch has more than so many frames of a fidelity for each of its degrees of freedom that is taken out."""


def projection_of(composition: np.ndarray, fidelity: np.ndarray, present: np.ndarray) -> np.ndarray | None:
    """Matrix that takes out of the errors of a batch what reference energies by fidelity can mend.

    Parameters
    ----------
    composition
        (B, species) shares of the elements in each frame.
    fidelity
        (B,) index of each frame's fidelity, which has reference energies of its own.
    present
        (B,) true where a frame has an energy.

    Returns
    -------
    ndarray or None
        (B, B), scaled so that errors that have nothing to do with the composition keep their mean square. Fidelities
        with too few frames to spare are left as they are; None if all are.
    """
    made, changed = np.eye(len(composition)), False
    for number in np.unique(fidelity[present]):
        own = np.flatnonzero(present & (fidelity == number))
        shares = composition[own]
        basis = orth(shares)
        rank = basis.shape[1]
        if len(own) > _LEAST_FRAMES * rank:
            kept = np.eye(len(own)) - basis @ basis.T
            made[np.ix_(own, own)] = kept * np.sqrt(len(own) / (len(own) - rank))
            changed = True
    return made if changed else None


class EnergyOffsets:
    """The reference energies of a stage's fidelities, as functions of the network's weights.

    Parameters
    ----------
    core
        Whose reference energies are solved for.
    store
        Training frames of the stage.
    composition
        (frames, species) element counts, in the order of the core's species.
    """

    def __init__(self, core: Core, store: GraphStore, composition: np.ndarray) -> None:
        self._core, self._store = core, store
        self._counts = composition
        self._shares = composition / composition.sum(1, keepdims=True)
        whole = store.batch(np.arange(len(store)))
        self._fidelity = whole.fidelity.cpu().numpy()
        self._present = np.isfinite(whole.energy.cpu().numpy())
        self._sample = self._chosen()
        self._kept: dict[bytes, Tensor | None] = {}

    def _chosen(self) -> Sequence[np.ndarray]:
        """Frames to solve on, by fidelity: all, or evenly spaced ones."""
        fidelities = np.unique(self._fidelity[self._present])
        made = []
        for number in fidelities:
            own = np.flatnonzero(self._present & (self._fidelity == number))
            atoms = float(self._counts[own].sum()) * len(fidelities)
            made.append(own[:: max(1, round(atoms / _ATOMS))])
        return made

    @property
    def atoms(self) -> float:
        """Atoms that a call of :meth:`solve` evaluates."""
        return float(sum(self._counts[chosen].sum() for chosen in self._sample))

    def projection(self, indices: np.ndarray) -> Tensor | None:
        """Matrix of :func:`projection_of` for a batch, on the core's device."""
        parts = (self._shares[indices], self._fidelity[indices], self._present[indices])
        key = b"".join(part.tobytes() for part in parts)
        if key not in self._kept:
            if len(self._kept) > 256:  # of frames of one composition there are few
                self._kept.clear()
            made = projection_of(*parts)
            self._kept[key] = None if made is None else torch.from_numpy(made).to(self._core.device, self._core.dtype)
        return self._kept[key]

    def solve(self) -> None:
        """Set the core's reference energies to the least squares of the error per atom, with its present weights."""
        core = self._core
        for chosen in self._sample:
            batch = self._store.batch(chosen).to(core.device, core.dtype)
            with torch.no_grad():
                output = checked_output(core.name, core(batch, forces=False), batch, False, False)
            error = (batch.energy - core.reference_energy(batch) - output.energy.double()).cpu().numpy()
            error /= self._counts[chosen].sum(1)
            if not np.isfinite(error).all():
                continue  # the weights have diverged, which the loss tells
            name = core.fidelities[int(self._fidelity[chosen[0]])]
            core.set_reference(name, core.reference_of(name) + np.linalg.pinv(self._shares[chosen]) @ error)
