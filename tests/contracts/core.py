"""Physics and promises of every core; a new core inherits `CoreContract` and names itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import make_supercell
from e3nn import o3

from mfbench.mfcore.core import Conditioning
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from tests.contracts.core_cases import (
    FIDELITIES,
    SPECIES,
    argyrodite,
    ethanol,
    evaluate,
    graph,
    loss_of,
    mixed_frames,
    perturb,
)
from tests.contracts.core_training import CoreTraining


class CoreContract(CoreTraining):
    """Inherit, set `core`, and the whole suite runs on it; attributes are those of `CoreCase`."""

    # Symmetry

    @pytest.mark.parametrize("improper", [False, True])
    def test_energies_are_invariant_and_forces_turn_with_the_frame(
        self, variant: dict[str, Any], improper: bool
    ) -> None:
        core, frames = self.make(**variant), [ethanol(), argyrodite()]
        torch.manual_seed(2)
        matrix = o3.rand_matrix(dtype=torch.float64).numpy() * (-1 if improper else 1)
        before, turned = evaluate(core, frames), []
        for atoms in frames:
            copy = atoms.copy()
            copy.positions = atoms.positions @ matrix.T + np.array([0.3, -1.2, 0.7])
            copy.set_cell(atoms.cell.array @ matrix.T)
            turned.append(copy)
        after, rotation = evaluate(core, turned), torch.from_numpy(matrix)
        torch.testing.assert_close(after.energy, before.energy, rtol=1e-10, atol=0)
        scale = float(before.forces.abs().max())
        torch.testing.assert_close(after.forces, before.forces @ rotation.T, rtol=0, atol=1e-10 * scale)
        stress = before.stress[1]
        wanted = rotation @ stress @ rotation.T
        torch.testing.assert_close(after.stress[1], wanted, rtol=0, atol=1e-10 * float(stress.abs().max()))

    def test_the_order_of_atoms_does_not_matter(self, variant: dict[str, Any]) -> None:
        core, atoms = self.make(**variant), argyrodite()
        order = np.random.default_rng(0).permutation(len(atoms))
        before, after = evaluate(core, [atoms]), evaluate(core, [atoms[order]])
        torch.testing.assert_close(after.energy, before.energy, rtol=1e-10, atol=0)
        torch.testing.assert_close(after.forces, before.forces[torch.from_numpy(order)], rtol=0, atol=1e-10)

    # Derivatives

    def test_forces_and_stress_by_finite_differences(self, variant: dict[str, Any], conditioning: Conditioning) -> None:
        core, atoms, step = perturb(self.make(conditioning, **variant), 0.02), argyrodite(), 1e-5
        out = evaluate(core, [atoms])
        size = max(1.0, float(out.forces.abs().max()))
        for atom, axis in ((0, 0), (5, 1), (12, 2)):
            moved = []
            for sign in (1, -1):
                copy = atoms.copy()
                copy.positions[atom, axis] += sign * step
                moved.append(copy)
            up, down = evaluate(core, moved).energy
            assert float(out.forces[atom, axis]) == pytest.approx(float(down - up) / (2 * step), abs=1e-6 * size)
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
            assert float(out.stress[0, a, b]) == pytest.approx(slope, abs=1e-6 * size)

    def test_a_loss_on_forces_and_stress_is_differentiated_exactly(
        self, variant: dict[str, Any], conditioning: Conditioning
    ) -> None:
        """The derivative along a random direction of all parameters, against central differences of the loss."""
        core = self.make(conditioning, **variant)
        core.train_offsets(True)
        batch, parameters = graph([ethanol(), argyrodite()], "high", core.cutoff), list(core.parameters())
        loss_of(core(batch, stress=True, create_graph=True)).backward(inputs=parameters)
        generator, step = torch.Generator().manual_seed(1), 1e-5
        ways = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        found = sum(float((p.grad * way).sum()) for p, way in zip(parameters, ways, strict=True) if p.grad is not None)

        def moved(size: float) -> float:
            with torch.no_grad():
                for parameter, way in zip(parameters, ways, strict=True):
                    parameter += size * way
            loss = float(loss_of(core(batch, stress=True)))
            with torch.no_grad():
                for parameter, way in zip(parameters, ways, strict=True):
                    parameter -= size * way
            return loss

        expected = (moved(step) - moved(-step)) / (2 * step)
        assert abs(expected) > 1e-6
        assert found == pytest.approx(expected, rel=1e-5)

    def test_without_a_graph_nothing_is_kept(self) -> None:
        core = self.make()
        output = evaluate(core, [ethanol()])
        assert not output.energy.requires_grad
        assert not output.forces.requires_grad
        alone = core(graph([ethanol()], "high", core.cutoff), forces=False)
        assert alone.forces is None
        assert alone.stress is None
        torch.testing.assert_close(alone.energy.detach(), output.energy, rtol=1e-12, atol=1e-12)

    # Batches, cells, cutoff

    def test_a_batch_of_molecules_and_crystals_equals_its_frames_alone(self, variant: dict[str, Any]) -> None:
        core, frames = self.make(**variant), mixed_frames()
        together, start = evaluate(core, frames), 0
        for number, atoms in enumerate(frames):
            alone = evaluate(core, [atoms])
            torch.testing.assert_close(alone.energy[0], together.energy[number], rtol=1e-12, atol=1e-12)
            part = together.forces[start : start + len(atoms)]
            torch.testing.assert_close(alone.forces, part, rtol=0, atol=1e-11)
            torch.testing.assert_close(alone.stress[0], together.stress[number], rtol=0, atol=1e-11, equal_nan=True)
            assert bool(torch.isnan(alone.stress).all()) == (not atoms.pbc.any())
            start += len(atoms)

    def test_a_batch_of_both_fidelities_equals_its_frames_alone(self, conditioning: Conditioning) -> None:
        core, frames = perturb(self.make(conditioning)), [ethanol(), argyrodite()]
        store = GraphStore(frames, list(FIDELITIES), FIDELITIES, None, SPECIES, core.cutoff)
        together = core(store.batch([0, 1]).to("cpu", torch.float64))
        for number, (atoms, fidelity) in enumerate(zip(frames, FIDELITIES, strict=True)):
            alone = evaluate(core, [atoms], fidelity)
            torch.testing.assert_close(alone.energy[0], together.energy[number], rtol=1e-12, atol=1e-12)

    def test_a_primitive_cell_and_its_supercell_have_the_same_energy_per_atom(self) -> None:
        """The cell is 6.96 Å long and narrower than twice the cutoff: most edges go to periodic images."""
        core, atoms = self.make(cutoff=5.0), argyrodite()
        large = make_supercell(atoms, 2 * np.eye(3))
        small_energy, large_energy = (float(evaluate(core, [a]).energy[0]) / len(a) for a in (atoms, large))
        assert large_energy == pytest.approx(small_energy, rel=1e-9)

    def test_a_one_atom_cell_smaller_than_the_cutoff_sees_its_own_images(self) -> None:
        core, one = self.make(), Atoms("Li", cell=np.eye(3) * 2.5, pbc=True)
        eight = make_supercell(one, 2 * np.eye(3))
        energies = [float(evaluate(core, [a]).energy[0]) / len(a) for a in (one, eight)]
        assert energies[0] == pytest.approx(energies[1], rel=1e-10)
        assert energies[0] != pytest.approx(float(evaluate(core, [Atoms("Li")]).energy[0]), rel=1e-3)

    def test_energy_is_smooth_where_a_neighbour_crosses_the_cutoff(self) -> None:
        core = self.make()
        distances = core.cutoff + np.linspace(-1e-6, 1e-6, 5)
        out = [evaluate(core, [Atoms("CO", [[0, 0, 0], [0, 0, r]])]) for r in distances]
        assert np.ptp([float(o.energy[0]) for o in out]) < 1e-10
        assert max(float(o.forces.abs().max()) for o in out) < 1e-5

    # Energies by fidelity and element

    def test_reference_energies_are_exact(self) -> None:
        """1e4 eV and a thousandth of a meV, in a network of float32, through conversions and copies."""
        core, atoms = self.make(), ethanol()
        values = -1e4 - np.arange(len(SPECIES)) * (1 + 2.0**-20)
        core.set_reference("high", values)
        expected = sum(values[SPECIES.index(int(z))] for z in atoms.numbers)
        for made in (core, core.to(dtype=torch.float32), core.float(), core.double()):
            np.testing.assert_array_equal(made.reference_of("high"), values)
            batch = graph([atoms], "high", core.cutoff)
            found = made.reference_energy(batch)
            assert found.dtype == torch.float64
            assert float(found[0]) == pytest.approx(expected, abs=1e-9)
            assert float(made.reference_energy(graph([atoms], "low", core.cutoff))[0]) == 0.0

    def test_the_output_is_linear_in_the_scale_and_the_shift_is_added(self) -> None:
        core, frames = self.make(), [ethanol()]
        energies = []
        for scale in (1.0, 2.0, 3.0):
            core.set_scale("high", scale)
            np.testing.assert_array_equal(core.scale_of("high"), np.full(len(SPECIES), scale))
            energies.append(float(evaluate(core, frames).energy[0]))
        assert energies[2] - energies[1] == pytest.approx(energies[1] - energies[0], rel=1e-9)
        assert abs(energies[1] - energies[0]) > 1e-6
        with torch.no_grad():
            core.reference_shift[core.row("high")] = 0.25
        assert float(evaluate(core, frames).energy[0]) == pytest.approx(energies[2] + 0.25 * len(frames[0]), rel=1e-9)

    def test_an_unknown_fidelity_is_refused(self) -> None:
        core = self.make()
        for call in (lambda: core.set_reference("middle", [0.0]), lambda: core.for_inference("middle")):
            with pytest.raises(ConfigError, match="middle"):
                call()

    # Fidelities

    def test_a_network_without_conditioning_does_not_know_the_fidelity(self) -> None:
        low, high = (evaluate(self.make("none"), [ethanol()], fidelity) for fidelity in FIDELITIES)
        assert torch.equal(low.energy, high.energy)

    def test_a_conditioning_distinguishes_fidelities(self, conditioned: Conditioning) -> None:
        """Beyond scales: forces of the two are not proportional to each other."""
        core = perturb(self.make(conditioned))
        for fidelity in FIDELITIES:
            core.set_scale(fidelity, 1.0)
        low, high = (evaluate(core, [ethanol()], fidelity).forces.flatten() for fidelity in FIDELITIES)
        factor = low @ high / (high @ high)
        assert float((low - factor * high).norm()) > 1e-3 * float(low.norm())

    def test_a_conditioning_that_it_lacks_is_refused(self) -> None:
        for name in {"one_hot", "heads", "embedding"} - set(self.core_type().conditionings):
            with pytest.raises(ConfigError, match=f"'{self.core}' has no conditioning '{name}'"):
                self.make(name)

    def test_heads_made_from_one_readout_give_its_answer(self, variant: dict[str, Any]) -> None:
        core = perturb(self.make("none", **variant))
        if "heads" not in core.conditionings:
            with pytest.raises(ConfigError, match="heads"):
                core.expand_heads()
            return
        core.train_offsets(True)
        made = core.expand_heads()
        assert made.conditioning == "heads"
        assert made.dtype == core.dtype
        assert made.reference_shift.requires_grad
        for fidelity in FIDELITIES:
            before, after = (evaluate(c, [ethanol(), argyrodite()], fidelity) for c in (core, made))
            torch.testing.assert_close(after.energy, before.energy, rtol=1e-12, atol=1e-10)
            torch.testing.assert_close(after.forces, before.forces, rtol=1e-9, atol=1e-10)
            np.testing.assert_array_equal(made.reference_of(fidelity), core.reference_of(fidelity))
        with pytest.raises(ConfigError, match="heads"):
            made.expand_heads()

    # Inference

    def test_inference_gives_what_the_network_gives(self, variant: dict[str, Any], conditioning: Conditioning) -> None:
        core = perturb(self.make(conditioning, **variant), 0.02)
        small = mixed_frames()
        for frames in (small, small * 4):  # few and many atoms of a species may be computed in two ways
            for fidelity in FIDELITIES:
                batch, inference = graph(frames, fidelity, core.cutoff), core.for_inference(fidelity)
                wanted, got = core(batch, stress=True), inference(batch, stress=True)
                torch.testing.assert_close(got.energy, wanted.energy, rtol=1e-12, atol=1e-10)
                torch.testing.assert_close(got.forces, wanted.forces, rtol=1e-10, atol=1e-10)
                torch.testing.assert_close(got.stress, wanted.stress, rtol=1e-10, atol=1e-10, equal_nan=True)
                energies = inference.reference_energy(batch), core.reference_energy(batch)
                torch.testing.assert_close(*energies, rtol=1e-14, atol=0)
                alone = inference(batch, forces=False)
                assert alone.forces is None
                assert alone.stress is None
                torch.testing.assert_close(alone.energy, got.energy, rtol=1e-12, atol=1e-12)

    def test_inference_takes_some_of_the_species_in_another_order(self, conditioning: Conditioning) -> None:
        core, atoms, species = perturb(self.make(conditioning)), [ethanol()], (8, 1, 6)
        inference = core.for_inference("low", species)
        assert inference.species == species
        got = inference(graph(atoms, "high", core.cutoff, species))
        wanted = evaluate(core, atoms, "low")
        torch.testing.assert_close(got.energy, wanted.energy, rtol=1e-12, atol=1e-10)
        torch.testing.assert_close(got.forces, wanted.forces, rtol=1e-10, atol=1e-10)
        with pytest.raises(ConfigError, match="species"):
            core.for_inference("low", (2,))

    def test_inference_moves_atoms_and_longer_edges_add_nothing(self) -> None:
        """As in molecular dynamics: one batch whose positions move, with a neighbour list that has a skin."""
        core, frames = self.make(), mixed_frames()[:2]
        inference = core.for_inference("high")
        batch, step = graph(frames, "high", core.cutoff + 1), torch.linspace(-0.2, 0.2, 3, dtype=torch.float64)
        for _ in range(2):
            batch.positions += step
            for moved in frames:
                moved.positions += step.numpy()
            batch.positions[0] += 0.05
            frames[0].positions[0] += 0.05
            got, wanted = inference(batch), evaluate(core, frames)
            torch.testing.assert_close(got.energy, wanted.energy, rtol=1e-12, atol=1e-10)
            torch.testing.assert_close(got.forces, wanted.forces, rtol=0, atol=1e-10)

    def test_inference_keeps_its_weights_and_notices_other_species(self) -> None:
        core = self.make()
        batch, inference = graph([ethanol()], "high", core.cutoff), core.for_inference("high")
        before = inference(batch).energy
        perturb(core)
        assert torch.equal(inference(batch).energy, before)
        assert not torch.allclose(core.for_inference("high")(batch).energy, before)
        batch.species[0] = SPECIES.index(7)  # written in place: what was kept for this tensor no longer holds
        again = inference(batch).energy
        assert not torch.allclose(again, before)
        batch.species = batch.species.clone()
        assert torch.equal(inference(batch).energy, again)

    def test_inference_refuses_a_batch_of_another_dtype(self) -> None:
        core = self.make()
        batch = graph([ethanol()], "high", core.cutoff).to("cpu", torch.float32)
        with pytest.raises(ConfigError, match=r"expected a batch of .*float64, got .*float32"):
            core.for_inference("high")(batch)
