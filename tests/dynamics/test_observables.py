"""Transport from simulations: from survivors only, with the number of these beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units

from mfbench.mfcore.dynamics.criteria import FailureCriteria
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.observables import Transport, transport_at, transport_records
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start, starts
from mfbench.mfcore.errors import ConfigError
from tests.dynamics.worlds import Analytic, Faulty

FREE = FailureCriteria(temperature_factor=100.0)
SETTINGS = DynamicsSettings(duration_ps=20.0, time_step_fs=20.0, friction_per_ps=20.0, record_every=2)


def gas() -> Atoms:
    """Lithium that feels nothing but the thermostat, beside something heavy."""
    atoms = Atoms("Li20Cl", np.random.default_rng(0).uniform(0, 30, (21, 3)), cell=[30, 30, 30], pbc=True)
    masses = atoms.get_masses()
    masses[-1] = 1e9
    atoms.set_masses(masses)
    atoms.info["structure_id"] = "gas"
    return atoms


def test_free_brownian_particles_diffuse_as_einstein_says(tmp_path: Path) -> None:
    # Langevin dynamics without forces: D = kT / (m γ)
    run = simulate(Analytic(0.5), starts([gas()], [300.0], 3), SETTINGS, FREE, out=tmp_path, trajectories=True)
    found = transport_at(run, 300.0, "Li", n_blocks=2)
    assert (found.n_survived, found.n) == (3, 3)
    assert found.number_densities_per_A3 == pytest.approx([20 / 27000] * 3)
    pooled = found.pooled
    assert pooled is not None
    expected = units.kB * 300.0 / 6.94 / (20.0 / (1000 * units.fs)) * (1000 * units.fs) * 1e-4
    # 5 % less, for the motion of the centre of mass, which is taken with the masses of the elements
    assert pooled.diffusivity_cm2_per_s == pytest.approx(expected, rel=0.3)
    low, high = pooled.interval(0.99)
    assert low < expected < high
    assert (pooled.n_blocks, pooled.n_trajectories, pooled.n_atoms) == (6, 3, 20)
    lines = transport_records(run, "Li", found.diffusions)
    mean = np.mean([line["diffusivity_cm2_per_s"] for line in lines])
    assert mean == pytest.approx(pooled.diffusivity_cm2_per_s)
    assert [line["n_blocks"] for line in lines] == [2, 2, 2]
    # 6 D (t - 1/γ), and next to nothing of what weighs 1e9 amu but what the centre of mass moves
    squares = found.displacements([25])
    assert set(squares) == {"Li", "Cl"}
    assert squares["Li"].shape == (3, 1)
    assert squares["Li"].mean() == pytest.approx(6e4 * expected * (25 * 0.04 - 0.05), rel=0.15)
    assert squares["Cl"].mean() < 0.2 * squares["Li"].mean()


def test_the_pooled_blocks_are_those_of_all_survivors(tmp_path: Path) -> None:
    run = simulate(Analytic(0.5), starts([gas()], [300.0], 2), SETTINGS, FREE, out=tmp_path, trajectories=True)
    found = transport_at(run, 300.0, "Li", n_blocks=4)
    pooled = found.pooled
    assert pooled is not None
    blocks = np.concatenate([found.diffusions[replica].blocks_cm2_per_s for replica in (0, 1)])
    assert len(np.unique(blocks)) == 8  # every replica has random numbers of its own
    assert pooled.diffusivity_cm2_per_s == pytest.approx(blocks.sum() / 8)
    squares = ((blocks - blocks.sum() / 8) ** 2).sum() / 7
    assert pooled.stderr_cm2_per_s == pytest.approx(np.sqrt(squares / 8))
    alone = transport_at(run, 300.0, "Li", n_blocks=1)
    assert alone.pooled is not None
    one = Transport(300.0, "Li", alone.trajectories, {0: alone.diffusions[0]}, 2).pooled
    assert one is not None
    assert np.isnan(one.stderr_cm2_per_s)  # one block has no error


def test_what_failed_is_counted_and_left_out(tmp_path: Path) -> None:
    def explode(energy: torch.Tensor, forces: torch.Tensor, frames: torch.Tensor, atoms: torch.Tensor) -> None:
        forces[atoms] = torch.inf

    broken = gas()
    broken.symbols[-1] = "S"
    model = Faulty(Analytic(0.5), after=900, number=16, fault=explode)
    run = simulate(
        model, [Start(gas(), 300.0, 0), Start(broken, 300.0, 1)], SETTINGS, FREE, out=tmp_path, trajectories=True
    )
    assert [r.status for r in run.results] == ["survived", "failure"]
    found = transport_at(run, 300.0, "Li", n_blocks=2)
    assert (found.n_survived, found.n) == (1, 2)
    assert found.pooled is not None
    assert found.pooled.n_trajectories == 1
    assert set(found.displacements([1])) == {"Li", "Cl"}  # not the sulfur of the one that failed
    lines = transport_records(run, "Li", found.diffusions)
    assert [line["survived"] for line in lines] == [True, False]
    assert lines[0]["diffusivity_cm2_per_s"] == found.pooled.diffusivity_cm2_per_s
    assert np.isnan(lines[1]["diffusivity_cm2_per_s"])
    assert lines[1]["n_blocks"] == 0
    nothing = transport_at(run, 500.0, "Li")
    assert (nothing.pooled, nothing.n) == (None, 0)


def test_without_trajectories_there_is_no_transport() -> None:
    settings = DynamicsSettings(duration_ps=0.01)
    run = simulate(Analytic(0.5), [Start(gas(), 300.0, 0)], settings, FREE)
    with pytest.raises(ConfigError, match="trajectories=True"):
        transport_at(run, 300.0, "Li")
