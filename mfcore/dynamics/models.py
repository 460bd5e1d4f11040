"""Force models, which dynamics integrates: energies and forces of a batch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError, ExtrapolationWarning
from mfbench.mfcore.provenance import digest, tensors_hash

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential


_LOOK_EVERY = 10  # evaluations; atoms that run into each other stay there for longer


class EnergyForces(Protocol):
    """An answer: energy (B,) eV and forces (A, 3) eV/Å."""

    @property
    def energy(self) -> Tensor:
        """(B,) eV."""

    @property
    def forces(self) -> Tensor | None:
        """(A, 3) eV/Å."""


class ForceModel(Protocol):
    """Energies and forces of a batch; what is integrated.

    It looks at ``positions[sender] - positions[receiver] + shift`` only.

    Attributes
    ----------
    species
        Atomic numbers; a batch holds indices into them.
    cutoff
        Å; every pair closer than this is an edge of the batch, and no other.
    device, dtype
        Where and in which precision it computes.
    """

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers."""

    @property
    def cutoff(self) -> float:
        """Å."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def dtype(self) -> torch.dtype:
        """In which precision it computes."""

    def __call__(self, batch: Batch, forces: bool = True) -> EnergyForces:
        """Evaluate."""

    def fingerprint(self) -> str:
        """Return what tells this model from others: a simulation goes on with the same one only."""


class PotentialForces:
    """A fitted potential as one fidelity; Δ-learning on a model is the sum of its two networks.

    Parameters
    ----------
    potential
        Fitted potential; its present weights are what counts.
    fidelity
        Which of its fidelities; None is the target.
    watch
        Whether to look now and then for atoms that are closer than those of any training frame and for surroundings
        that none has, and to warn of the first (:class:`mfbench.mfcore.errors.ExtrapolationWarning`).

    Attributes
    ----------
    species, cutoff, device, dtype
        See :class:`ForceModel`.

    Raises
    ------
    ConfigError
        If the answer needs more than networks: Δ-learning on labels needs a calculation of the cheap level for
        every step.
    """

    def __init__(self, potential: Potential, fidelity: str | None = None, *, watch: bool = True) -> None:
        name = potential.calculator(fidelity).fidelity
        if name in potential.delta_baseline:
            raise ConfigError(
                f"arm {potential.arm}: '{name}' is a difference to '{potential.delta_baseline[name]}' labels, so each "
                "step of dynamics would need a calculation of that level. Use delta_model, or another arm."
            )
        self._frozen = potential.freeze(name)
        self.species, self.cutoff = self._frozen.species, self._frozen.cutoff
        self.device, self.dtype = self._frozen.device, self._frozen.dtype
        self._watch = potential.watch(self.species, self.cutoff, name) if watch else None
        self._calls = 0
        terms = potential.outputs[name]
        networks = [tensors_hash(potential.cores[term.core].state_dict()) for term in terms]
        shapes = [potential.cores[term.core].description() for term in terms]
        self._mark = digest(
            {
                "fidelities": [term.fidelity for term in terms],
                "networks": networks,
                "shapes": shapes,
                "precision": str(self.dtype),
            }
        )

    def __call__(self, batch: Batch, forces: bool = True) -> EnergyForces:
        """Energies, reference energies included, and forces."""
        self._calls += 1
        if self._watch is not None and self._calls % _LOOK_EVERY == 1:
            for sentence in self._watch.look(batch, " in dynamics"):
                warnings.warn(sentence, ExtrapolationWarning, stacklevel=2)
        return self._frozen(batch, forces)

    def fingerprint(self) -> str:
        """Hash of weights and shapes of the networks that are summed."""
        return self._mark


def species_index(numbers: np.ndarray, species: tuple[int, ...], name: str) -> np.ndarray:
    """Indices (n,) of atomic numbers among a model's species.

    Raises
    ------
    ConfigError
        If the model does not know an element of the frame `name`.
    """
    lookup = np.full(128, -1, dtype=np.int64)
    lookup[list(species)] = np.arange(len(species))
    index = lookup[numbers]
    if (index < 0).any():
        from ase.data import chemical_symbols

        odd = chemical_symbols[int(numbers[int(np.argmax(index < 0))])]
        raise ConfigError(f"frame '{name}': element {odd} was never seen in training; leave this frame out.")
    return np.asarray(index)
