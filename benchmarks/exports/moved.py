"""A fitted potential for atoms that another program moves, with all that a calculator of ours refuses and tells."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from mfbench.benchmarks.exports.lists import MovingLists, Pairs
from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.periodic import COINCIDENT
from mfbench.mfcore.errors import ConfigError, DataError, ExtrapolationWarning
from mfbench.mfcore.potentials.potential import Component, Potential, load
from mfbench.mfcore.training.devices import DTYPES

_LOOK_EVERY = 10  # evaluations; atoms that run into each other stay there for longer


def self_contained(
    source: Potential | str | Path,
    fidelity: str | None = None,
    *,
    device: torch.device | str | None = None,
    precision: str | None = None,
) -> Potential:
    """One fidelity of a potential, with the networks that it needs and no other.

    Parameters
    ----------
    source
        Potential, or the folder of one.
    fidelity
        Which of its fidelities, or "high" / "low"; None is the target.
    device
        Where the networks shall be; None: where they are.
    precision
        Of the networks, "float32" or "float64"; None: theirs.

    Raises
    ------
    ConfigError
        If it does not answer for the fidelity, or needs labels of a cheaper level for it; if there is no such
        precision.
    DataError
        If the folder holds no potential.
    """
    potential = source if isinstance(source, Potential) else load(source)
    if precision is not None and precision not in ("float32", "float64"):
        raise ConfigError(f"precision: expected float32 or float64, got '{precision}'.")
    name = potential.calculator(fidelity).fidelity
    if name in potential.delta_baseline:
        raise ConfigError(
            f"this {potential.arm} potential adds '{potential.delta_baseline[name]}' labels to its network, which no "
            f"other program has: '{name}' cannot be exported. Use delta_model, or another arm."
        )
    terms = potential.outputs[name]
    used = sorted({term.core for term in terms})
    cores = [copy.deepcopy(potential.cores[k]).freeze() for k in used]
    dtype = None if precision is None else DTYPES[precision]
    cores = [core.to(device=device, dtype=dtype) for core in cores]
    outputs = {name: tuple(Component(used.index(term.core), term.fidelity) for term in terms)}
    return Potential(potential.arm, cores, outputs, {}, potential.ledger, potential.record)


class MovedAtoms:
    """One fidelity of a potential as a function of tensors, for systems that another program moves.

    Neighbour lists are kept while they may be; species are looked up where they change. It refuses what a calculator
    refuses, and warns of what that warns of (:class:`mfbench.mfcore.errors.ExtrapolationWarning`), once.

    Parameters
    ----------
    potential
        Of one fidelity, from :func:`self_contained`.
    skin
        Of the neighbour lists, Å.

    Attributes
    ----------
    fidelity
        Its name.
    species
        Atomic numbers that it knows.
    cutoff
        Å.
    device, precision
        Where and in which precision the networks compute.
    lists
        The neighbour lists.
    """

    def __init__(self, potential: Potential, skin: float = 1.0) -> None:
        (self.fidelity,) = potential.outputs
        self._potential, self._frozen = potential, potential.freeze()
        self.species, self.cutoff = self._frozen.species, self._frozen.cutoff
        self.device, self.precision = self._frozen.device, self._frozen.dtype
        self.lists = MovingLists(self.cutoff, skin)
        self._watch = potential.watch(self.species, self.cutoff, self.fidelity)
        self._numbers = self._n_atoms = torch.zeros(0, dtype=torch.int64, device=self.device)
        self._calls, self._stress_told = 0, False

    def __call__(
        self,
        positions: Tensor,
        numbers: Tensor,
        n_atoms: Tensor,
        cell: Tensor,
        periodic: Tensor,
        *,
        volume: Tensor | None = None,
        forces: bool = True,
        stress: bool = True,
    ) -> CoreOutput:
        """Energies with reference energies, forces and stress.

        Parameters
        ----------
        positions
            (A, 3) Å, of all systems one after another.
        numbers
            (A,) atomic numbers.
        n_atoms
            (B,) int64, atoms of each system.
        cell
            (B, 3, 3) Å, lattice vectors as rows.
        periodic
            (B, 3) bool, whether each lattice vector repeats.
        volume
            (B,) Å³ that stresses are per; None: of the cells, NaN where nothing repeats.
        forces, stress
            What to compute beside energies.

        Returns
        -------
        CoreOutput
            Energies (B,) eV, float64; forces (A, 3) eV/Å and stress (B, 3, 3) eV/Å³, ASE's sign, in the networks'
            precision.

        Raises
        ------
        DataError
            If an element is not known, atoms are at one place, a cell cannot be, or a number is not finite; names the
            system.
        """
        positions, cell = (t.detach().to(self.device, torch.float64) for t in (positions, cell))
        n_atoms, periodic = n_atoms.to(self.device), periodic.to(self.device)
        self._know(numbers.to(self.device), n_atoms)
        pairs = self.lists.pairs(positions, n_atoms, cell, periodic)
        self._check_apart(pairs)
        if volume is None:
            whole = torch.linalg.det(cell).abs()
            volume = torch.where(periodic.any(1) & (whole > 0.0), whole, torch.nan)
        batch = self._batch(pairs, n_atoms, volume)
        if self._calls % _LOOK_EVERY == 0:
            for sentence in self._watch.look(batch):
                warnings.warn(sentence, ExtrapolationWarning, stacklevel=3)
        self._calls += 1
        if self.lists.cells_moved and not self._stress_told:
            self._stress_told = True
            self._potential.check_stress()
        output = self._frozen(batch, forces, stress)
        self._check_finite(output)
        return output

    def _know(self, numbers: Tensor, n_atoms: Tensor) -> None:
        """Look up species where atoms are others than at the last call."""
        if torch.equal(self._numbers, numbers) and torch.equal(self._n_atoms, n_atoms):
            return
        lookup = np.full(1 + max(max(self.species), int(numbers.max()), 0), -1, dtype=np.int64)
        lookup[list(self.species)] = np.arange(len(self.species))
        found = numbers.cpu().numpy()
        if (found < 1).any():
            raise DataError("an atomic number is below 1.", key="atomic_numbers")
        index = lookup[found]
        frame = torch.repeat_interleave(torch.arange(len(n_atoms), device=self.device), n_atoms)
        if (index < 0).any():
            place = int(np.argmax(index < 0))
            odd = chemical_symbols[found[place]] if found[place] < len(chemical_symbols) else str(found[place])
            raise DataError(
                f"system {int(frame[place])}: element {odd} was never seen in training, or no '{self.fidelity}' label "
                "tells its energy.",
                key="species",
                hint="Leave this system out, or ask for another fidelity.",
            )
        self._species = torch.from_numpy(index).to(self.device)
        self._numbers, self._n_atoms, self._frame = numbers.clone(), n_atoms.clone(), frame
        self._fidelity = torch.zeros(len(n_atoms), dtype=torch.int64, device=self.device)
        counts = np.bincount(index, minlength=len(self.species)).tolist()
        self._counts = None if self.device.type == "cpu" else tuple(counts)
        self._labels = {
            "energy": torch.full((len(n_atoms),), torch.nan, dtype=torch.float64, device=self.device),
            "forces": torch.full((len(numbers), 3), torch.nan, dtype=self.precision, device=self.device),
            "stress": torch.full((len(n_atoms), 3, 3), torch.nan, dtype=self.precision, device=self.device),
        }

    def _batch(self, pairs: Pairs, n_atoms: Tensor, volume: Tensor) -> Batch:
        """The graph; positions are all 0 and shifts the whole vectors, so that single precision loses nothing."""
        ends = torch.arange(len(pairs.positions) + 1, device=self.device)
        return Batch(
            species=self._species,
            positions=torch.zeros_like(pairs.positions, dtype=self.precision),
            sender=pairs.sender,
            receiver=pairs.receiver,
            row_pointer=torch.searchsorted(pairs.receiver, ends),
            shift=pairs.vectors.to(self.precision),
            frame=self._frame,
            n_atoms=n_atoms,
            volume=volume.to(self.precision),
            images=pairs.shift.ne(0.0).any(dim=1),
            fidelity=self._fidelity,
            **self._labels,
            has_forces=False,
            has_stress=False,
            species_counts=self._counts,
        )

    def _check_apart(self, pairs: Pairs) -> None:
        if not len(pairs.squares) or float(pairs.squares.min()) >= COINCIDENT**2:
            return
        worst = int(pairs.squares.argmin())
        first, second = int(pairs.receiver[worst]), int(pairs.sender[worst])
        number = int(self._frame[first])
        start = int(self._n_atoms[:number].sum())
        raise DataError(
            f"system {number}: atoms {first - start} and {second - start} are at one place "
            f"({float(pairs.squares[worst]) ** 0.5:.3g} Å apart).",
            key="positions",
            hint="Remove one, mend the positions, or take a shorter time step.",
        )

    def _check_finite(self, output: CoreOutput) -> None:
        fine = output.energy.isfinite()
        if output.forces is not None:
            wrong = self._frame[~output.forces.isfinite().all(1)]
            fine[wrong] = False
        if not bool(fine.all()):
            raise DataError(
                f"system {int(torch.nonzero(~fine)[0])}: the predicted energy or forces are not finite numbers.",
                hint="Are atoms far closer than in any training frame, or are weights damaged?",
            )
