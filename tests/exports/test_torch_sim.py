"""A potential as a model of torch-sim: its own validation, our numbers, derivatives, dynamics and relaxations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule

import mfbench
from mfbench.benchmarks.exports import torch_sim
from mfbench.benchmarks.exports.folder import export_model
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.potentials.relax import relax
from tests.exports.worlds import committee, crystals, frames, network, rattled, single, total

pytestmark = pytest.mark.usefixtures("ts")


def state_of(ts: Any, systems: list[Atoms]) -> Any:
    return ts.io.atoms_to_state(systems, torch.device("cpu"), torch.float64)


def of_copper() -> Potential:
    """A soft crystal that holds together: the repulsion of nuclei, and a network that is small beside it."""
    core = network(0, zbl=True)
    core.scale[:] = 0.05
    return Potential("multi_fidelity", [core], single().outputs)


def test_the_validation_of_torch_sim_passes(ts: Any) -> None:
    core = network(4, (14, 26))  # silicon and iron, which it asks
    potential = Potential("single_fidelity", [core], {"high": single().outputs["high"]})
    from mfbench.benchmarks.exports.torch_sim_model import TorchSimModel

    model = mfbench.torch_sim_model(potential, compute_stress=False, compute_forces=False)
    assert isinstance(model, TorchSimModel)
    ts.models.interface.validate_model_outputs(model, torch.device("cpu"), torch.float64)
    assert model.compute_stress
    assert model.compute_forces


@pytest.mark.parametrize("potential", [single(), total(), committee()], ids=["single", "sum", "committee"])
def test_energies_forces_and_stress_are_ours(ts: Any, potential: Potential) -> None:
    for systems in (crystals(), [molecule("CH4"), Atoms("O"), molecule("H2O")]):
        found = mfbench.torch_sim_model(potential)(state_of(ts, systems))
        expected = potential.predict(systems, stress=True)
        assert expected.forces is not None
        np.testing.assert_allclose(found["energy"], expected.energies, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["forces"], np.concatenate(expected.forces), rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["stress"], expected.stress, rtol=0, atol=1e-9)


def test_directions_that_repeat_may_differ_where_the_state_can_say_so() -> None:
    """Version 0.3 knows one bool for all; later ones one for each direction."""
    systems, potential = frames(), single()
    state = {
        "positions": torch.from_numpy(np.concatenate([a.positions for a in systems])),
        "cell": torch.from_numpy(np.array([a.cell.array for a in systems])).mT,
        "atomic_numbers": torch.from_numpy(np.concatenate([a.numbers for a in systems])),
        "system_idx": torch.repeat_interleave(torch.arange(len(systems)), torch.tensor([len(a) for a in systems])),
        "pbc": torch.from_numpy(np.array([a.pbc for a in systems])),
    }
    expected = potential.predict(systems)
    for given in (state, SimpleNamespace(**state)):
        found = mfbench.torch_sim_model(potential)(given)
        np.testing.assert_allclose(found["energy"], expected.energies, rtol=0, atol=1e-9)
    slab = {name: state[name][state["system_idx"] == 2] for name in ("positions", "atomic_numbers")}
    found = mfbench.torch_sim_model(potential)(slab | {"cell": state["cell"][2], "pbc": [True, True, False]})
    np.testing.assert_allclose(found["energy"], expected.energies[2], rtol=0, atol=1e-9)
    with pytest.raises(ConfigError, match="together"):
        mfbench.torch_sim_model(potential)(state | {"system_idx": state["system_idx"].flip(0)})


def test_forces_and_stress_are_derivatives_of_the_energy(ts: Any) -> None:
    model, systems, step = mfbench.torch_sim_model(total()), crystals(), 1e-4
    found = model(state_of(ts, systems))

    def energies(change: Any) -> torch.Tensor:
        moved = [atoms.copy() for atoms in systems]
        for atoms in moved:
            change(atoms)
        energy: torch.Tensor = model(state_of(ts, moved))["energy"]
        return energy

    def displace(atoms: Atoms, by: float) -> None:
        atoms.positions[-1, 1] += by

    slope = (energies(lambda a: displace(a, step)) - energies(lambda a: displace(a, -step))) / (2 * step)
    last = np.cumsum([len(a) for a in systems]) - 1
    torch.testing.assert_close(found["forces"][last, 1], -slope, rtol=0, atol=1e-6)
    assert float(slope.abs().max()) > 0.1
    volume = torch.tensor([atoms.get_volume() for atoms in systems])
    for i, j in ((0, 0), (2, 2), (0, 1), (1, 2)):
        shape = np.zeros((3, 3))
        shape[i, j] = shape[j, i] = 1.0

        def strain(atoms: Atoms, by: float, shape: np.ndarray = shape) -> None:
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + by * shape), scale_atoms=True)

        slope = (energies(lambda a: strain(a, step)) - energies(lambda a: strain(a, -step))) / (2 * step) / volume
        expected = found["stress"][:, i, j] * (1 if i == j else 2)
        torch.testing.assert_close(expected, slope.double(), rtol=0, atol=1e-6)


def test_a_batch_says_of_each_what_it_says_of_it_alone(ts: Any) -> None:
    potential, systems = total(), crystals()
    together = mfbench.torch_sim_model(potential)(state_of(ts, systems))
    model, first = mfbench.torch_sim_model(potential), 0
    for k, atoms in enumerate(systems):  # one model for all: its lists follow
        alone = model(state_of(ts, [atoms]))
        torch.testing.assert_close(alone["energy"][0], together["energy"][k], rtol=0, atol=1e-10)
        own = together["forces"][first : first + len(atoms)]
        torch.testing.assert_close(alone["forces"], own, rtol=0, atol=1e-10)
        first += len(atoms)


def test_dynamics_conserve_the_energy_while_atoms_cross_the_cell(ts: Any) -> None:
    model = mfbench.torch_sim_model(of_copper())
    systems = [rattled(bulk("Cu", cubic=True) * (1, 1, n)) for n in (1, 2)]
    for atoms in systems:
        atoms.positions += 0.1 - atoms.positions.min(0)  # a plane of atoms at the border
    setup, step = ts.nve(
        model, kT=torch.tensor(300.0 * units.kB), dt=torch.tensor(0.001 * ts.units.UnitSystem.metal.time)
    )
    state = setup(state_of(ts, systems), seed=1)

    def total_energy() -> torch.Tensor:
        kinetic = 0.5 * state.momenta.square().sum(1) / state.masses
        whole: torch.Tensor = state.energy.index_add(0, state.system_idx, kinetic)
        return whole

    start = total_energy()
    for _ in range(300):
        state = step(state)
    assert float((total_energy() - start).abs().max()) < 1e-4 * len(systems[1])
    assert model.moved.lists.n_builds < 40  # of 600 asked for
    fresh = of_copper().predict(ts.io.state_to_atoms(state))
    np.testing.assert_allclose(state.energy, fresh.energies, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Optimize has reached max steps:UserWarning")
def test_relaxations_end_where_ours_end(ts: Any) -> None:
    potential = of_copper()
    systems = [rattled(bulk("Cu", a=a, cubic=True), k) for k, a in enumerate((3.4, 3.5))]
    own = [relax(atoms, potential.calculator(), fmax=1e-4, fixed_cell=True) for atoms in systems]
    done = ts.optimize(
        systems,
        mfbench.torch_sim_model(potential),
        optimizer=ts.optimizers.fire,
        convergence_fn=ts.generate_force_convergence_fn(force_tol=1e-4, include_cell_forces=False),
        max_steps=1000,
        autobatcher=False,
    )
    before = potential.predict(systems).energies
    for k, found in enumerate(own):
        assert found.converged
        assert float(done.energy[k]) == pytest.approx(found.energy_ev, abs=1e-6)
        assert float(done.energy[k]) < before[k] - 1e-3


@pytest.mark.filterwarnings("ignore:Optimize has reached max steps:UserWarning")
def test_cells_that_relax_have_the_energies_of_fresh_lists(ts: Any) -> None:
    potential = of_copper()
    systems = [rattled(bulk("Cu", a=a, cubic=True), k) for k, a in enumerate((3.4, 3.6))]
    model = mfbench.torch_sim_model(potential)
    done = ts.optimize(
        systems,
        model,
        optimizer=ts.frechet_cell_fire,
        max_steps=40,
        convergence_fn=ts.generate_force_convergence_fn(force_tol=1e-9),
        autobatcher=False,
    )
    frames_now = ts.io.state_to_atoms(done)
    expected = potential.predict(frames_now, stress=True)
    np.testing.assert_allclose(done.energy, expected.energies, rtol=0, atol=1e-9)
    np.testing.assert_allclose(done.stress, expected.stress, rtol=0, atol=1e-9)
    assert all(new.get_volume() > 1.02 * old.get_volume() for new, old in zip(frames_now, systems, strict=True))
    assert model.moved.lists.n_builds < 30


def test_refusals_reach_the_user_of_torch_sim(ts: Any) -> None:
    model = mfbench.torch_sim_model(single())
    gold = bulk("Au", cubic=True)
    with pytest.raises(DataError, match="system 1: element Au"):
        model(state_of(ts, [bulk("Cu"), gold]))
    near = bulk("Cu", cubic=True)
    near.positions[1] = near.positions[0] + 0.01
    with pytest.raises(DataError, match="system 0: atoms 0 and 1 are at one place"):
        model(state_of(ts, [near]))


def test_an_export_is_the_potential_to_the_last_bit(ts: Any, tmp_path: Path) -> None:
    potential = total()
    export_model(potential, "torch-sim", tmp_path / "export")
    state = state_of(ts, crystals())
    made, again = mfbench.torch_sim_model(potential)(state), mfbench.torch_sim_model(tmp_path / "export")(state)
    assert all(torch.equal(made[name], again[name]) for name in ("energy", "forces", "stress"))


def test_states_may_be_of_single_precision(ts: Any) -> None:
    model = mfbench.torch_sim_model(single(), dtype=torch.float32)
    state = ts.io.atoms_to_state(crystals(), torch.device("cpu"), torch.float32)
    found = model(state)
    assert {value.dtype for value in found.values()} == {torch.float32}
    np.testing.assert_allclose(found["energy"], single().predict(crystals()).energies, rtol=1e-5)


def test_where_torch_sim_is_missing_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_sim, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mfbench\[torch-sim\]"):
        mfbench.torch_sim_model(single())
