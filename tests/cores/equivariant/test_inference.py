"""A frozen core is the same function as the core that it was made from, and a frozen potential as the potential."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.graphs import Batch, GraphStore
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.inference import FrozenPotential
from mfbench.mfcore.potentials.potential import Potential, Term

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


def frames() -> list[Atoms]:
    """Molecules, a crystal and a lone atom: few atoms of some species, none of others."""
    made = [molecule("CH3CH2NH2"), bulk("GaN", "wurtzite", a=3.2, c=5.2).repeat((2, 2, 1)), Atoms("C"), molecule("CH4")]
    for number, atoms in enumerate(made):
        atoms.rattle(0.05, seed=number)
    return made


def graph(atoms: list[Atoms], fidelity: str = "high", cutoff: float = 4.0) -> Batch:
    store = GraphStore(atoms, [fidelity] * len(atoms), FIDELITIES, None, SPECIES, cutoff)
    return store.batch(np.arange(len(atoms))).to("cpu", torch.float64)


VARIANTS = [
    {},
    {"parity": True},
    {"channels": (8, 4, 2), "zbl": False},
    {"radial_mode": "exact"},
    {"self_connection": "linear", "lmax": 1},
    {"n_layers": 1},
    {"lmax": 0, "parity": True},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("conditioning", ["none", "one_hot", "heads"])
def test_same_energies_forces_and_stress(conditioning: Conditioning, variant: dict[str, object]) -> None:
    core = make_core(conditioning, **variant)
    small, large = frames(), frames() * 4  # self-connections of few and of many atoms are computed in two ways
    for atoms in (small, large):
        for fidelity in FIDELITIES:
            batch, frozen = graph(atoms, fidelity), core.for_inference(fidelity)
            wanted, got = core(batch, stress=True), frozen(batch, stress=True)
            torch.testing.assert_close(got.energy, wanted.energy, rtol=1e-12, atol=1e-10)
            torch.testing.assert_close(got.forces, wanted.forces, rtol=0, atol=1e-10)
            torch.testing.assert_close(got.stress, wanted.stress, rtol=0, atol=1e-10, equal_nan=True)
            torch.testing.assert_close(frozen.reference_energy(batch), core.reference_energy(batch), rtol=1e-14, atol=0)
            alone = frozen(batch, forces=False)
            assert alone.forces is None
            assert alone.stress is None
            torch.testing.assert_close(alone.energy, got.energy, rtol=1e-12, atol=1e-12)


def test_positions_may_change_and_longer_edges_add_nothing() -> None:
    """As in molecular dynamics: one batch whose positions move, with a neighbour list that has a skin."""
    core, atoms = make_core(), frames()
    frozen = core.for_inference("high")
    batch, step = graph(atoms, cutoff=5.0), torch.linspace(-0.2, 0.2, 3, dtype=torch.float64)
    for _ in range(2):
        batch.positions += step
        for moved in atoms:
            moved.positions += step.numpy()
        batch.positions[0] += 0.05
        atoms[0].positions[0] += 0.05
        got, wanted = frozen(batch), core(graph(atoms))
        torch.testing.assert_close(got.energy, wanted.energy, rtol=1e-12, atol=1e-10)
        torch.testing.assert_close(got.forces, wanted.forces, rtol=0, atol=1e-10)


def test_it_keeps_its_weights_and_notices_other_species() -> None:
    core, batch = make_core(), graph([molecule("CH3CH2NH2")])
    frozen = core.for_inference("high")
    before = frozen(batch).energy
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 1.0
    assert torch.equal(frozen(batch).energy, before)
    assert not torch.allclose(core.for_inference("high")(batch).energy, before)
    batch.species[0] = (batch.species[0] + 1) % 2  # written in place: what was kept for this tensor no longer holds
    again = frozen(batch).energy
    assert not torch.allclose(again, before)
    batch.species = batch.species.clone()
    assert torch.equal(frozen(batch).energy, again)
    with pytest.raises(ConfigError, match="middle"):
        core.for_inference("middle")


def two_networks() -> Potential:
    """Δ on a model; the second network knows fewer species, in another order, and has a shorter cutoff."""
    base, delta = make_core("none"), make_core("heads", species=(7, 1, 6), cutoff=3.0, zbl=False)
    answers = {"low": (Term(0, "low"),), "high": (Term(0, "low"), Term(1, "high"))}
    return Potential("delta_model", [base, delta], answers)


def test_a_batch_of_another_dtype_is_refused() -> None:
    """Kernels take addresses: a table of float32 read as float64 would end beyond its memory."""
    frozen = make_core().for_inference("high")
    batch = FrozenPotential([(make_core(), "high")]).batch(frames())
    with pytest.raises(ConfigError, match=r"expected a batch of .*float64, got .*float32"):
        frozen(batch.to("cpu", torch.float32))


def test_a_sum_of_networks_is_the_sum_of_their_answers() -> None:
    potential, atoms = two_networks(), [molecule("CH3CH2NH2"), molecule("CH4")]
    base, delta = potential.cores
    first = graph(atoms, "low")
    store = GraphStore(atoms, ["high"] * 2, FIDELITIES, None, delta.species, 3.0)
    second = store.batch([0, 1]).to("cpu", torch.float64)
    energy = sum(c(b).energy + c.reference_energy(b) for c, b in ((base, first), (delta, second)))
    forces = base(first).forces + delta(second).forces
    frozen = potential.freeze("high")
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


def test_labels_of_a_cheaper_level_cannot_be_frozen_in() -> None:
    core = make_core("none")
    potential = Potential("delta_labels", [core], {"high": (Term(0, "high"),)}, label_base={"high": "low"})
    with pytest.raises(ConfigError, match="base="):
        potential.freeze()
    atoms = molecule("CH4")
    set_labels(atoms, "low", energy=2.0, forces=np.ones((5, 3)))
    bare = Potential("bare", [core], {"high": (Term(0, "high"),)}).predict([atoms])
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
