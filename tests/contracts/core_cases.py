"""Frames, networks and evaluations of the contract suite of cores."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal
from torch import Tensor

from mfbench.mfcore.core import Conditioning, Core, CoreOutput
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore

SPECIES = (1, 3, 6, 8, 15, 16, 17, 31, 7)
FIDELITIES = ("low", "high")


def argyrodite() -> Atoms:
    """13-atom primitive Li6PS5Cl, displaced so that no force vanishes by symmetry."""
    cell = [9.85, 9.85, 9.85, 90, 90, 90]
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.6185, 0.6185, 0.6185)]
    frame = crystal(["Cl", "P", "S", "S"], sites, spacegroup=216, cellpar=cell, primitive_cell=True)
    lithium = crystal(["Li"], [(0.25, 0.0227, 0.75)], spacegroup=216, cellpar=cell, primitive_cell=True)
    atoms = frame + lithium[:6]
    plain = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
    assert len(plain) == 13
    plain.rattle(0.1, seed=3)
    return plain


def ethanol() -> Atoms:
    """Ethanol, displaced."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.1, seed=5)
    return atoms


def mixed_frames() -> list[Atoms]:
    """Molecules, crystals and a lone atom: few atoms of some species, none of others."""
    return [ethanol(), argyrodite(), bulk("GaN", "wurtzite", a=3.2, c=5.2), Atoms("O")]


def graph(frames: list[Atoms], fidelity: str, cutoff: float, species: tuple[int, ...] = SPECIES) -> Batch:
    """The frames as one batch of float64."""
    store = GraphStore(frames, [fidelity] * len(frames), FIDELITIES, None, species, cutoff)
    return store.batch(np.arange(len(frames))).to("cpu", torch.float64)


def evaluate(core: Core, frames: list[Atoms], fidelity: str = "high") -> CoreOutput:
    """Energies, forces and stress."""
    return core(graph(frames, fidelity, core.cutoff), stress=True)


def perturb(core: Core, size: float = 0.1) -> Core:
    """Give every parameter and offset a value that no initialisation has: functions that are equal by chance differ."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    for row, fidelity in enumerate(core.fidelities):
        core.set_reference(fidelity, -1e4 * (1 + row) + np.arange(len(core.species)) / 3)
        core.set_scale(fidelity, 1 + row + np.arange(len(core.species)) / 7)
    return core


def loss_of(output: CoreOutput) -> Tensor:
    """A number to which energies, forces and stress contribute."""
    assert output.forces is not None
    assert output.stress is not None
    stress = torch.nan_to_num(output.stress)
    return output.energy.square().mean() + output.forces.square().mean() + 10 * stress.square().mean()


class CoreCase:
    """A core, and how to make it.

    Attributes
    ----------
    core
        Its name, registered as an entry point.
    settings
        Those of a small network with a cutoff of 4 Å.
    variants
        Other settings that change how it computes.
    """

    core: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {"cutoff": 4.0}
    variants: ClassVar[tuple[dict[str, Any], ...]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        known = self.core_type().conditionings
        if "conditioning" in metafunc.fixturenames:
            metafunc.parametrize("conditioning", known)
        if "conditioned" in metafunc.fixturenames:
            metafunc.parametrize("conditioned", [name for name in known if name != "none"])
        if "variant" in metafunc.fixturenames:
            metafunc.parametrize("variant", [{}, *self.variants], ids=str)

    @classmethod
    def core_type(cls) -> type[Core]:
        return core_class(cls.core)

    @classmethod
    def make(cls, conditioning: Conditioning = "none", **changes: Any) -> Core:
        torch.manual_seed(11)
        choice = CoreChoice.model_validate({"name": cls.core} | cls.settings | changes)
        return choice.build(SPECIES, FIDELITIES, conditioning, 12.0).to(dtype=torch.float64)
