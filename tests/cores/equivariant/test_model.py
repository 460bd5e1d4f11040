"""Physics of the core: symmetry, derivatives, batches, periodic images, fidelities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from ase.spacegroup import crystal
from e3nn import o3

from mfbench.mfcore.core import Conditioning, CoreOutput
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.graphs import GraphStore

SPECIES = (1, 3, 6, 8, 15, 16, 17, 31, 7)
FIDELITIES = ("low", "high")


def make_core(conditioning: Conditioning = "one_hot", **changes: object) -> EquivariantCore:
    torch.manual_seed(11)
    settings = {"cutoff": 4.0, "channels": 8, "n_layers": 3, "lmax": 2, "radial_hidden": (16,), "zbl": True}
    core = EquivariantCore(EquivariantConfig(**(settings | changes)), SPECIES, FIDELITIES, conditioning, 12.0)
    return core.to(dtype=torch.float64)


def evaluate(core: EquivariantCore, frames: list[Atoms], fidelity: str = "high") -> CoreOutput:
    store = GraphStore(frames, [fidelity] * len(frames), FIDELITIES, None, SPECIES, core.config.cutoff)
    return core(store.batch(np.arange(len(frames))).to("cpu", torch.float64), stress=True)


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
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.1, seed=5)
    return atoms


VARIANTS = [
    {},
    {"parity": True},
    {"lmax": 1, "channels": (8, 4)},
    {"radial_mode": "exact"},
    {"self_connection": "linear", "n_layers": 1},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("improper", [False, True])
def test_energies_are_invariant_and_forces_turn_with_the_frame(variant: dict[str, object], improper: bool) -> None:
    core, (first, crystal_) = make_core(**variant), (ethanol(), argyrodite())
    torch.manual_seed(2)
    matrix = o3.rand_matrix(dtype=torch.float64).numpy() * (-1 if improper else 1)
    before = evaluate(core, [first, crystal_])
    turned = []
    for atoms in (first, crystal_):
        copy = atoms.copy()
        copy.positions = atoms.positions @ matrix.T + np.array([0.3, -1.2, 0.7])
        copy.set_cell(atoms.cell.array @ matrix.T)
        turned.append(copy)
    after = evaluate(core, turned)
    assert torch.allclose(after.energy, before.energy, rtol=1e-10, atol=0)
    rotation = torch.from_numpy(matrix)
    scale = before.forces.abs().max()
    assert (after.forces - before.forces @ rotation.T).abs().max() < 1e-10 * scale
    stress = before.stress[1]
    assert (after.stress[1] - rotation @ stress @ rotation.T).abs().max() < 1e-10 * stress.abs().max()


def test_the_order_of_atoms_does_not_matter() -> None:
    core, atoms = make_core(), argyrodite()
    order = np.random.default_rng(0).permutation(len(atoms))
    before, after = evaluate(core, [atoms]), evaluate(core, [atoms[order]])
    assert torch.allclose(after.energy, before.energy, rtol=1e-10, atol=0)
    assert torch.allclose(after.forces, before.forces[torch.from_numpy(order)], rtol=0, atol=1e-10)


@pytest.mark.parametrize("variant", [{}, {"radial_mode": "exact", "parity": True}], ids=str)
@pytest.mark.parametrize("conditioning", ["none", "one_hot", "heads"])
def test_forces_and_stress_by_finite_differences(variant: dict[str, object], conditioning: Conditioning) -> None:
    core, atoms, step = make_core(conditioning, **variant), argyrodite(), 1e-5
    out = evaluate(core, [atoms])
    for atom, axis in ((0, 0), (5, 1), (12, 2)):
        moved = []
        for sign in (1, -1):
            copy = atoms.copy()
            copy.positions[atom, axis] += sign * step
            moved.append(copy)
        up, down = evaluate(core, moved).energy
        assert float(out.forces[atom, axis]) == pytest.approx(float(down - up) / (2 * step), abs=1e-6)
    for a, b in ((0, 0), (1, 2), (0, 2)):
        moved = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            copy = atoms.copy()
            copy.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            moved.append(copy)
        up, down = evaluate(core, moved).energy
        slope = float(up - down) / (2 * step) / atoms.get_volume()
        assert float(out.stress[0, a, b]) == pytest.approx(slope, abs=1e-6)


def test_a_batch_that_mixes_molecules_and_crystals_equals_its_frames_alone() -> None:
    core = make_core()
    frames = [ethanol(), argyrodite(), bulk("GaN", "wurtzite", a=3.2, c=5.2), Atoms("O")]
    together = evaluate(core, frames)
    start = 0
    for number, atoms in enumerate(frames):
        alone = evaluate(core, [atoms])
        assert torch.allclose(alone.energy[0], together.energy[number], rtol=1e-12, atol=1e-12)
        assert torch.allclose(alone.forces, together.forces[start : start + len(atoms)], rtol=0, atol=1e-11)
        assert bool(torch.isnan(alone.stress).all()) == (not atoms.pbc.any())
        start += len(atoms)


def test_a_primitive_cell_and_its_supercell_have_the_same_energy_per_atom() -> None:
    """The cell is 6.96 Å long and narrower than twice the cutoff: most edges go to periodic images."""
    core, atoms = make_core(cutoff=5.0), argyrodite()
    large = make_supercell(atoms, 2 * np.eye(3))
    small_energy, large_energy = (float(evaluate(core, [a]).energy[0]) / len(a) for a in (atoms, large))
    assert large_energy == pytest.approx(small_energy, rel=1e-9)


def test_a_one_atom_cell_smaller_than_the_cutoff_sees_its_own_images() -> None:
    core, one = make_core(), Atoms("Li", cell=np.eye(3) * 2.5, pbc=True)
    eight = make_supercell(one, 2 * np.eye(3))
    energies = [float(evaluate(core, [a]).energy[0]) / len(a) for a in (one, eight)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-10)
    assert energies[0] != pytest.approx(float(evaluate(core, [Atoms("Li")]).energy[0]), rel=1e-3)


@pytest.mark.parametrize("conditioning", ["one_hot", "heads"])
def test_fidelity_changes_the_answer_only_where_it_enters(conditioning: Conditioning) -> None:
    frames = [ethanol()]
    core, plain = make_core(conditioning), make_core("none")
    low, high = (float(evaluate(core, frames, f).energy[0]) for f in FIDELITIES)
    assert abs(low - high) > 1e-6
    low, high = (float(evaluate(plain, frames, f).energy[0]) for f in FIDELITIES)
    assert low == high


def test_heads_made_from_one_readout_give_its_answer() -> None:
    core = make_core("none")
    for fidelity in FIDELITIES:
        before, after = (float(evaluate(c, [ethanol()], fidelity).energy[0]) for c in (core, core.expand_heads()))
        assert after == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize("conditioning", ["none", "one_hot", "heads"])
def test_a_smaller_readout_is_the_same_network_with_smaller_forces(conditioning: Conditioning) -> None:
    """The last matrix alone is scaled, and forces are linear in it: exactly half the forces from half the matrix."""
    full, half = (make_core(conditioning, zbl=False, readout_scale=s) for s in (1.0, 0.5))
    changed = [n for n, p in full.named_parameters() if not torch.equal(p, half.get_parameter(n))]
    assert changed == ["readout.out"]
    assert make_core(conditioning).readout.out.equal(full.readout.out)
    before, after = (evaluate(core, [argyrodite()]).forces for core in (full, half))
    assert torch.allclose(after, 0.5 * before, rtol=1e-10, atol=1e-12 * float(before.abs().max()))
    assert float(before.abs().max()) > 1e-3


def test_the_readout_does_not_start_at_zero() -> None:
    with pytest.raises(ValueError, match="readout_scale"):
        EquivariantConfig(readout_scale=0.0)


def test_energy_is_smooth_where_a_neighbour_crosses_the_cutoff() -> None:
    core = make_core(zbl=False)
    distances = 4.0 + np.linspace(-1e-3, 1e-3, 5)
    out = [evaluate(core, [Atoms("CO", [[0, 0, 0], [0, 0, r]])]) for r in distances]
    energies = np.array([float(o.energy[0]) for o in out])
    assert np.ptp(energies) < 1e-8
    assert max(float(o.forces.abs().max()) for o in out) < 1e-5


def test_the_nuclei_repel_at_short_range() -> None:
    with_zbl = make_core(zbl=True)
    without = make_core(zbl=False)
    without.load_state_dict(with_zbl.state_dict())
    close = [Atoms("CO", [[0, 0, 0], [0, 0, 0.3]])]
    difference = float((evaluate(with_zbl, close).energy - evaluate(without, close).energy)[0])
    # universal screening function by hand: a = 0.8854 x 0.529177/(6^0.23 + 8^0.23), x = 0.3/a
    length = 0.8854 * 0.529177210903 / (6**0.23 + 8**0.23)
    screening = sum(
        c * np.exp(-e * 0.3 / length) for c, e in ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
    )
    u = 0.3 / (0.76 + 0.66)
    expected = 14.399645 * 48 / 0.3 * screening * (1 - 28 * u**6 + 48 * u**7 - 21 * u**8)
    assert difference == pytest.approx(expected, rel=1e-5)


def test_a_nan_position_is_refused_by_name() -> None:
    atoms = ethanol()
    atoms.positions[0, 0] = np.nan
    with pytest.raises(Exception, match="positions"):
        evaluate(make_core(), [atoms])
