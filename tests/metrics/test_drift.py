"""Energy drift: known slopes, in ps and per atom."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet

from mfbench.mfcore.metrics.drift import energy_drift, ps_of_ase_time


def test_a_known_slope_comes_back_per_atom_and_ps() -> None:
    time = np.linspace(0, 4, 81)
    energy = -1e4 + 0.026 * time  # eV, 13 atoms: 2 meV/atom/ps
    found = energy_drift(time, energy, 13)
    assert found.drift_meV_per_atom_per_ps == pytest.approx(2.0, rel=1e-6)
    assert found.fluctuation_meV_per_atom < 1e-6


def test_an_oscillation_is_fluctuation_and_no_drift() -> None:
    time = np.linspace(0, 10, 1001)[:-1]  # whole periods
    found = energy_drift(time, 0.003 * np.cos(2 * np.pi * time), 3)
    assert abs(found.drift_meV_per_atom_per_ps) < 1e-3
    assert found.fluctuation_meV_per_atom == pytest.approx(1.0 / np.sqrt(2), rel=1e-3)


def test_the_clock_of_ase_is_not_in_fs() -> None:
    atoms = Atoms("Ar2", [[0, 0, 0], [1.1, 0, 0]], calculator=LennardJones(epsilon=0.01, sigma=1.0))
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    times, start = [], dynamics.get_time()
    dynamics.attach(lambda: times.append(dynamics.get_time() - start))
    dynamics.run(40)
    assert ps_of_ase_time(times)[-1] == pytest.approx(0.020)
    # read as fs, the same trajectory would seem to drift 1 / 0.098 = 10.18 times faster
    energy = 5.0 + 0.1 * ps_of_ase_time(times)
    wrong = energy_drift(np.array(times) / 1000, energy, 1).drift_meV_per_atom_per_ps
    right = energy_drift(ps_of_ase_time(times), energy, 1).drift_meV_per_atom_per_ps
    assert right == pytest.approx(100.0, rel=1e-6)
    assert wrong / right == pytest.approx(10.1805, rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_trajectory_beyond_its_failure_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        energy_drift([0.0, 1.0, 2.0], [0.0, 0.0, bad], 1)


def test_shapes_and_too_few_records() -> None:
    assert np.isnan(energy_drift([0.0, 1.0], [0.0, 1.0], 1).drift_meV_per_atom_per_ps)
    with pytest.raises(ValueError, match="one energy a time"):
        energy_drift([0.0, 1.0, 2.0], [0.0, 1.0], 1)
    with pytest.raises(ValueError, match="the same"):
        energy_drift([1.0, 1.0, 1.0], [0.0, 1.0, 2.0], 1)
