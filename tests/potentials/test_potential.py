"""A potential is the sum of its networks, frozen or not, and its calculator and its file say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.inference import FrozenPotential
from mfbench.mfcore.potentials.potential import Component, Potential, load
from mfbench.mfcore.training.checkpoint import load_tensors
from tests.potentials.test_stored import edit_weights

SPECIES = (1, 6, 7, 31)
FIDELITIES = ("low", "high")


def make_core(conditioning: Conditioning = "one_hot", species: tuple[int, ...] = SPECIES, **changes: object):
    """A network in which everything that freezing folds has a value of its own for each species and fidelity."""
    torch.manual_seed(3)
    settings = {"cutoff": 4.0, "channels": 8, "n_layers": 3, "radial_hidden": (16,), "zbl": True} | changes
    config = EquivariantConfig(**settings)
    core = EquivariantCore(config, species, FIDELITIES, conditioning, 12.0).to(dtype=torch.float64)
    shape = (2, len(species))
    core.reference[:] = 1e4 * torch.rand(shape, dtype=torch.float64)
    core.scale[:] = 1 + torch.rand(shape, dtype=torch.float64)
    with torch.no_grad():
        core.reference_shift += torch.rand(shape)
    return core


def graph(atoms: list[Atoms], fidelity: str = "high", cutoff: float = 4.0) -> Batch:
    store = GraphStore(atoms, [fidelity] * len(atoms), FIDELITIES, None, SPECIES, cutoff)
    return store.batch(np.arange(len(atoms))).to("cpu", torch.float64)


def two_networks() -> Potential:
    """Δ on a model; the second network knows fewer species, in another order, and has a shorter cutoff."""
    base, delta = make_core("none"), make_core("heads", species=(7, 1, 6), cutoff=3.0, zbl=False)
    answers = {"low": (Component(0, "low"),), "high": (Component(0, "low"), Component(1, "high"))}
    return Potential("delta_model", [base, delta], answers)


def test_a_sum_of_networks_is_the_sum_of_their_answers() -> None:
    potential, atoms = two_networks(), [molecule("CH3CH2NH2"), molecule("CH4")]
    base, delta = potential.cores
    first = graph(atoms, "low")
    store = GraphStore(atoms, ["high"] * 2, FIDELITIES, None, delta.species, 3.0)
    second = store.batch([0, 1]).to("cpu", torch.float64)
    energy = sum(c(b).energy + c.reference_energy(b) for c, b in ((base, first), (delta, second)))
    forces = base(first).forces + delta(second).forces
    frozen = potential.freeze("high")
    assert isinstance(frozen, FrozenPotential)
    out = frozen(frozen.batch(atoms))
    assert frozen.cutoff == 4.0
    torch.testing.assert_close(out.energy, energy, rtol=1e-13, atol=1e-10)
    torch.testing.assert_close(out.forces, forces, rtol=0, atol=1e-10)
    predicted = potential.predict(atoms, batch_atoms=5)
    np.testing.assert_allclose(predicted.energies, energy.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(np.concatenate(predicted.forces), forces.numpy(), atol=1e-10)
    with pytest.raises(DataError, match="Ga"):
        potential.predict([bulk("GaN", "wurtzite", a=3.2, c=5.2)])


def test_a_potential_follows_its_weights() -> None:
    potential, atoms = two_networks(), [molecule("CH4")]
    before = potential.predict(atoms).energies
    assert potential.freeze() is potential.freeze("high")
    with torch.no_grad():
        potential.cores[1].readout.out += 1.0
    assert abs(potential.predict(atoms).energies - before) > 1e-3
    potential.cores[0].reference[0, 0] += 1.0
    moved = potential.predict(atoms).energies
    potential.cores[0].reference[0, 0] += 1.0
    np.testing.assert_allclose(potential.predict(atoms).energies - moved, 4.0)  # four hydrogen atoms


def test_a_saved_potential_names_its_core_which_must_be_installed(tmp_path: Path) -> None:
    potential, atoms = two_networks(), [molecule("CH4")]
    potential.save(tmp_path)
    wanted = potential.predict(atoms, forces=False).energies
    np.testing.assert_array_equal(load(tmp_path).predict(atoms, forces=False).energies, wanted)
    tensors, description = load_tensors(tmp_path / "core_1.safetensors")
    assert description["core"] == DEFAULT
    edit_weights(tmp_path, tensors, description | {"core": "perceptron"})
    with pytest.raises(ConfigError, match=r"core 'perceptron'.*install the package that brought it"):
        load(tmp_path)


def test_labels_of_a_cheaper_level_cannot_be_frozen_in() -> None:
    core = make_core("none")
    potential = Potential("delta_labels", [core], {"high": (Component(0, "high"),)}, delta_baseline={"high": "low"})
    with pytest.raises(ConfigError, match="base="):
        potential.freeze()
    atoms = molecule("CH4")
    set_labels(atoms, "low", energy=2.0, forces=np.ones((5, 3)))
    bare = Potential("bare", [core], {"high": (Component(0, "high"),)}).predict([atoms])
    added = potential.predict([atoms])
    np.testing.assert_allclose(added.energies, bare.energies + 2.0)
    np.testing.assert_allclose(added.forces[0], bare.forces[0] + 1.0)


def test_the_calculator_answers_as_the_potential() -> None:
    potential = two_networks()
    crystal = Atoms("C2", [[0, 0, 0], [0.9, 0.8, 1.0]], cell=np.eye(3) * 3.6, pbc=True)
    for atoms in (molecule("CH3CH2NH2"), crystal):
        atoms.calc = potential.calculator("high")
        periodic = bool(atoms.pbc.all())
        wanted = potential.predict([atoms], stress=periodic)
        np.testing.assert_allclose(atoms.get_potential_energy(), wanted.energies[0], rtol=1e-13)
        np.testing.assert_allclose(atoms.get_forces(), wanted.forces[0], atol=1e-12)
        if periodic:
            np.testing.assert_allclose(atoms.get_stress(voigt=False), wanted.stress[0], atol=1e-12)
        atoms.positions[0] += 0.1
        np.testing.assert_allclose(atoms.get_potential_energy(), potential.predict([atoms]).energies[0], rtol=1e-13)
