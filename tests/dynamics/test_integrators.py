"""Sampling and conservation against analytic answers, and velocity Verlet against ASE's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from mfbench.mfcore.dynamics.criteria import FailureCriteria
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.integrators import maxwell_boltzmann, without_momentum
from mfbench.mfcore.dynamics.models import PotentialForces
from mfbench.mfcore.dynamics.noise import BLOCK, ReplicaNoise, normals
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start
from tests.dynamics.worlds import Spy, Wells, argyrodite, ethanol, grid, small_potential

CPU = torch.device("cpu")
TOLERANT = FailureCriteria(temperature_factor=100.0)


@pytest.mark.parametrize("reduced_step", [0.2, 1.0])  # ω Δt; at 1, schemes with an error of second order are 30 % off
def test_baoab_samples_the_harmonic_well_exactly(reduced_step: float) -> None:
    n, temperature, k = 300, 300.0, 1.0
    atoms, model = grid(n), Wells(k)
    step_fs = reduced_step / np.sqrt(k / atoms.get_masses()[0]) / units.fs
    settings = DynamicsSettings(
        duration_ps=550 * step_fs / 1000, time_step_fs=step_fs, friction_per_ps=1000 / step_fs, record_every=1
    )
    run = simulate(model, [Start(atoms, temperature, 0)], settings, TOLERANT, seed=1)
    assert run.results[0].status == "survived"
    start = torch.from_numpy(atoms.positions)
    squares = [(b.positions - start).square().mean().item() for b in model.calls[50:]]
    # 900 coordinates, at most 8 steps of memory: 5e4 independent squares, an error of 0.6 %
    assert np.mean(squares) == pytest.approx(units.kB * temperature / k, rel=0.02)
    if reduced_step < 0.5:
        assert run.series[0][50:, 3].mean() == pytest.approx(temperature, rel=0.02)


def test_velocities_are_drawn_from_the_canonical_ensemble() -> None:
    masses = torch.tensor([[1.0]] * 20000 + [[16.0]] * 20000, dtype=torch.float64)
    noise = torch.from_numpy(normals(1, 2, 0, 0, (40000, 3)))
    velocities = maxwell_boltzmann(noise, masses, torch.full((40000, 1), 400.0, dtype=torch.float64))
    heat = (velocities.square() * masses / units.kB).mean(1)
    assert heat[:20000].mean().item() == pytest.approx(400.0, rel=0.02)
    assert heat[20000:].mean().item() == pytest.approx(400.0, rel=0.02)


def test_removing_the_momentum_of_frames_of_different_size() -> None:
    rng = np.random.default_rng(0)
    velocities, masses = torch.from_numpy(rng.normal(size=(6, 3))), torch.from_numpy(rng.uniform(1, 9, (6, 1)))
    frame, n_atoms = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([3, 2, 1])
    still = without_momentum(velocities, masses, frame, n_atoms)
    for atoms in (slice(0, 3), slice(3, 5)):
        assert (still[atoms] * masses[atoms]).sum(0).abs().max() < 1e-12
        assert torch.allclose(still[atoms] - still[atoms][:1], velocities[atoms] - velocities[atoms][:1])
    assert torch.equal(still[5], velocities[5])


def test_velocity_verlet_is_that_of_ase_for_cells_and_molecules_in_one_batch() -> None:
    potential, frames = small_potential(), [argyrodite(), ethanol()]
    for atoms in frames:
        spread = np.sqrt(units.kB * 300.0 * atoms.get_masses())[:, None]
        atoms.set_momenta(spread * np.random.default_rng(3).normal(size=(len(atoms), 3)))
    settings = DynamicsSettings(ensemble="nve", duration_ps=0.2, velocities="frame", skin=0.5)
    model = Spy(PotentialForces(potential))
    run = simulate(model, [Start(a, 300.0, k) for k, a in enumerate(frames)], settings, TOLERANT)
    assert [r.status for r in run.results] == ["survived"] * 2
    ends = np.split(model.last, [13])
    for number, atoms in enumerate(frames):
        copy: Atoms = atoms.copy()
        copy.calc = potential.calculator()
        VelocityVerlet(copy, 1.0 * units.fs).run(200)
        assert np.abs(copy.positions - atoms.positions).max() > 0.1  # something has happened
        assert np.abs(ends[number] - copy.positions).max() < 1e-8
        assert run.series[number][-1, 1] == pytest.approx(copy.get_potential_energy(), abs=1e-8)
        assert run.series[number][-1, 2] == pytest.approx(copy.get_kinetic_energy(), abs=1e-8)
        assert run.series[number][-1, 3] == pytest.approx(copy.get_temperature(), abs=1e-4)


def test_constant_energy_dynamics_keeps_the_energy_to_second_order() -> None:
    forces, fluctuation = PotentialForces(small_potential()), []
    for step_fs in (2.0, 1.0):
        settings = DynamicsSettings(ensemble="nve", duration_ps=0.3, time_step_fs=step_fs, record_every=1)
        run = simulate(forces, [Start(argyrodite(), 300.0, 0)], settings, TOLERANT)
        drift = run.drift(0)
        assert drift.n == round(300 / step_fs) + 1
        assert abs(drift.drift_meV_per_atom_per_ps) < 0.1
        fluctuation.append(drift.fluctuation_meV_per_atom)
    assert fluctuation[0] / fluctuation[1] == pytest.approx(4.0, rel=0.3)


def test_the_noise_of_a_replica_is_its_own() -> None:
    together = ReplicaNoise(7, [4, 9], [2, 3], CPU)
    alone = ReplicaNoise(7, [9], [3], CPU)
    steps = [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 3, 2]
    for step in steps:
        assert torch.equal(together.at(step)[2:], alone.at(step))
    together.keep([1])
    assert all(torch.equal(together.at(step), alone.at(step)) for step in steps)
    drawn = {name: ReplicaNoise(*args, CPU).at(0) for name, args in {"a": (7, [9], [3]), "b": (8, [9], [3])}.items()}
    assert not torch.equal(drawn["a"], drawn["b"])
    assert not torch.equal(alone.at(0), alone.at(1))
    first, second = normals(7, 4, 0, 0, (10**5,)), normals(7, 4, 1, 0, (10**5,))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.013  # four standard errors
