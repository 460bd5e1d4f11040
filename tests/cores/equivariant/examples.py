"""A network and frames that the tests of this folder share."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore

SPECIES = (1, 6, 7, 31)
FIDELITIES = ("low", "high")


def make_core(conditioning: Conditioning = "one_hot", **changes: object) -> EquivariantCore:
    """A network in which everything that freezing folds has a value of its own for each species and fidelity."""
    torch.manual_seed(3)
    settings = {"cutoff": 4.0, "channels": 8, "n_layers": 3, "radial_hidden": (16,), "zbl": True} | changes
    config = EquivariantConfig(**settings)  # type: ignore[arg-type]
    core = EquivariantCore(config, SPECIES, FIDELITIES, conditioning, 12.0).to(dtype=torch.float64)
    shape = (2, len(SPECIES))
    core.reference[:] = 1e4 * torch.rand(shape, dtype=torch.float64)
    core.scale[:] = 1 + torch.rand(shape, dtype=torch.float64)
    with torch.no_grad():
        core.reference_shift += torch.rand(shape)
    return core


def frames() -> list[Atoms]:
    """Molecules, a crystal and a lone atom: few atoms of some species, none of others."""
    made = [molecule("CH3CH2NH2"), bulk("GaN", "wurtzite", a=3.2, c=5.2).repeat((2, 2, 1)), Atoms("C"), molecule("CH4")]
    for number, atoms in enumerate(made):
        atoms.rattle(0.05, seed=number)
    return made


def graph(atoms: list[Atoms], fidelity: str = "high", cutoff: float = 4.0) -> Batch:
    store = GraphStore(atoms, [fidelity] * len(atoms), FIDELITIES, None, SPECIES, cutoff)
    return store.batch(np.arange(len(atoms))).to("cpu", torch.float64)
