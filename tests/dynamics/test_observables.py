"""Transport from simulations: from survivors only, with the number of these beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units

from mfcore.dynamics.criteria import FailureCriteria
from mfcore.dynamics.engine import simulate
from mfcore.dynamics.observables import transport, transport_records
from mfcore.dynamics.settings import DynamicsSettings, Start, starts
from mfcore.errors import ConfigError
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
    found = transport(run, 300.0, "Li", n_blocks=2)
    assert (found.n_survived, found.n) == (3, 3)
    assert found.number_density_per_A3 == pytest.approx(20 / 27000)
    assert found.diffusion is not None
    expected = units.kB * 300.0 / 6.94 / (20.0 / (1000 * units.fs)) * (1000 * units.fs) * 1e-4
    # 5 % less, for the motion of the centre of mass, which is taken with the masses of the elements
    assert found.diffusion.diffusivity_cm2_per_s == pytest.approx(expected, rel=0.3)
    low, high = found.diffusion.interval(0.99)
    assert low < expected < high
    lines = transport_records(run, "Li", n_blocks=2)
    mean = np.mean([line["diffusivity_cm2_per_s"] for line in lines])
    assert mean == pytest.approx(found.diffusion.diffusivity_cm2_per_s)
    assert [line["n_blocks"] for line in lines] == [2, 2, 2]


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
    found = transport(run, 300.0, "Li", n_blocks=2)
    assert (found.n_survived, found.n) == (1, 2)
    assert found.diffusion is not None
    assert found.diffusion.n_trajectories == 1
    lines = transport_records(run, "Li", n_blocks=2)
    assert [line["survived"] for line in lines] == [True, False]
    assert np.isnan(lines[1]["diffusivity_cm2_per_s"])
    assert transport(run, 500.0, "Li").diffusion is None


def test_without_trajectories_there_is_no_transport() -> None:
    settings = DynamicsSettings(duration_ps=0.01)
    run = simulate(Analytic(0.5), [Start(gas(), 300.0, 0)], settings, FREE)
    with pytest.raises(ConfigError, match="trajectories=True"):
        transport(run, 300.0, "Li")
