"""Analytic force models and small untrained potentials for dynamics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.spacegroup import crystal
from torch import Tensor

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.dynamics.models import ForceModel
from mfbench.mfcore.potentials.potential import Component, Potential

SPECIES = (1, 3, 6, 8, 15, 16, 17)


@dataclass
class Answer:
    energy: Tensor
    forces: Tensor | None


class Analytic:
    """A force model in float64 whose answer is a function of positions, edges and frames; it remembers calls."""

    species, device, dtype = SPECIES, torch.device("cpu"), torch.float64

    def __init__(self, cutoff: float = 2.0) -> None:
        self.cutoff = cutoff
        self.calls: list[Batch] = []

    def answer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return torch.zeros(batch.n_frames, dtype=torch.float64), torch.zeros_like(batch.positions)

    def __call__(self, batch: Batch, forces: bool = True) -> Answer:
        self.calls.append(batch)
        return Answer(*self.answer(batch))

    def fingerprint(self) -> str:
        return type(self).__name__

    def positions(self) -> np.ndarray:
        return self.calls[-1].positions.numpy()


class Wells(Analytic):
    """Every atom in a harmonic well of its own, on the points of a grid (spacing in Å); k in eV/Å²."""

    def __init__(self, k: float = 1.0, cutoff: float = 1.0, spacing: float = 5.0) -> None:
        super().__init__(cutoff)
        self.k, self.spacing = k, spacing

    def answer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        away = batch.positions - self.spacing * torch.round(batch.positions / self.spacing)
        atomic = 0.5 * self.k * away.square().sum(1)
        energy = torch.zeros(batch.n_frames, dtype=torch.float64).index_add(0, batch.frame, atomic)
        return energy, -self.k * away


class Springs(Analytic):
    """Every pair within the cutoff on a spring of rest length 0, with a step in energy at the cutoff."""

    def answer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        vectors = batch.positions[batch.sender] - batch.positions[batch.receiver] + batch.shift
        assert bool((vectors.norm(dim=1) < self.cutoff).all())
        frame = batch.frame[batch.receiver]
        energy = torch.zeros(batch.n_frames, dtype=torch.float64)
        energy = energy.index_add(0, frame, 0.25 * 0.5 * vectors.square().sum(1))
        return energy, torch.zeros_like(batch.positions).index_add(0, batch.receiver, 0.25 * vectors)


class Spy:
    """Another model, and the positions of the last batch that it was given."""

    def __init__(self, model: ForceModel) -> None:
        self.model, self.last = model, np.zeros((0, 3))
        self.species, self.cutoff, self.device, self.dtype = model.species, model.cutoff, model.device, model.dtype

    def fingerprint(self) -> str:
        return self.model.fingerprint()

    def __call__(self, batch: Batch, forces: bool = True):
        self.last = batch.positions.numpy().copy()
        return self.model(batch, forces)


class Faulty:
    """Another model, until a number of calls is over; then something happens to frames that contain an element.

    Parameters
    ----------
    model
        What answers.
    after
        Calls that go well.
    number
        Atomic number.
    fault
        Changes energies (B,) and forces (A, 3) in place, given which frames and atoms are meant; may raise.
    """

    def __init__(self, model: ForceModel, after: int, number: int, fault: Callable[..., None]) -> None:
        self.model, self.after, self.number, self.fault, self.count = model, after, number, fault, 0
        self.species, self.cutoff, self.device, self.dtype = model.species, model.cutoff, model.device, model.dtype

    def fingerprint(self) -> str:
        return self.model.fingerprint()

    def __call__(self, batch: Batch, forces: bool = True) -> Answer:
        output = self.model(batch, forces)
        energy, force = output.energy.clone(), output.forces.clone()
        self.count += 1
        if self.count > self.after:
            frames = torch.unique(batch.frame[batch.species == self.species.index(self.number)])
            if len(frames):
                self.fault(energy, force, frames, torch.isin(batch.frame, frames))
        return Answer(energy, force)


def small_core(
    fidelities: tuple[str, ...] = ("low", "high"), seed: int = 1, scale: float = 0.003, **changes: object
) -> EquivariantCore:
    """An untrained network with a landscape flat enough for 1 fs steps."""
    torch.manual_seed(seed)
    settings = {"cutoff": 4.0, "channels": 4, "n_layers": 2, "lmax": 1, "radial_hidden": (8,), "n_bessel": 6}
    core = EquivariantCore(EquivariantConfig(**(settings | changes)), SPECIES, fidelities, "one_hot", 20.0)
    core = core.to(dtype=torch.float64)
    core.scale.fill_(scale)
    core.reference.normal_(mean=-100.0)
    return core.freeze()


def small_potential(dtype: torch.dtype = torch.float64, **changes: object) -> Potential:
    core = small_core(**changes).to(dtype=dtype)
    return Potential("small", [core], {f: (Component(0, f),) for f in core.fidelities})


def argyrodite(seed: int = 3) -> Atoms:
    """13-atom primitive Li6PS5Cl, shaken."""
    cell = [9.85, 9.85, 9.85, 90, 90, 90]
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.6185, 0.6185, 0.6185)]
    frame = crystal(["Cl", "P", "S", "S"], sites, spacegroup=216, cellpar=cell, primitive_cell=True)
    lithium = crystal(["Li"], [(0.25, 0.0227, 0.75)], spacegroup=216, cellpar=cell, primitive_cell=True)
    atoms = frame + lithium[:6]
    plain = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
    plain.rattle(0.05, seed=seed)
    plain.info |= {"structure_id": f"argyrodite-{seed}", "group": "argyrodite"}
    return plain


def ethanol(seed: int = 5) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    atoms.info |= {"structure_id": f"ethanol-{seed}", "group": "ethanol"}
    return atoms


def grid(n: int, symbol: str = "H", spacing: float = 5.0) -> Atoms:
    """Atoms on the first points of a grid."""
    return Atoms(f"{symbol}{n}", [[spacing * k, 0.0, 0.0] for k in range(n)])
