"""Mixing energies and equations of state against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from ase.eos import EquationOfState
from ase.units import GPa

from mfbench.mfcore.metrics.mixing import (
    equation_of_state,
    equations_of_state,
    mixing_energies_ev_per_atom,
)

X = np.array([0.0, 0.25, 0.5, 0.5, 1.0])


def test_a_regular_solution_mixes_with_omega_x_one_minus_x():
    sizes = np.array([16, 16, 8, 16, 32])
    energies = sizes * (-5.0 * (1 - X) - 3.5 * X + 0.13 * X * (1 - X))
    assert mixing_energies_ev_per_atom(energies, sizes, X) == pytest.approx(0.13 * X * (1 - X), abs=1e-12)


def test_what_is_linear_in_composition_cancels():
    energies = np.array([-80.0, -75.0, -70.0, -69.0, -60.0])
    shifted = energies + 16 * (7.0 - 3.0 * X)
    first, second = (mixing_energies_ev_per_atom(e, [16] * 5, X) for e in (energies, shifted))
    assert first == pytest.approx(second, abs=1e-12)
    assert first[[0, -1]] == pytest.approx([0.0, 0.0])


def test_the_lowest_end_member_counts_and_a_missing_one_spoils_all():
    x, sizes = [0.0, 0.0, 0.5, 1.0], [1, 1, 1, 1]
    assert mixing_energies_ev_per_atom([2.0, 1.0, 1.5, 1.0], sizes, x) == pytest.approx([1.0, 0.0, 0.5, 0.0])
    assert mixing_energies_ev_per_atom([np.nan, 1.0, np.nan, 1.0], sizes, x) == pytest.approx(
        [np.nan, 0.0, np.nan, 0.0], nan_ok=True
    )
    assert np.isnan(mixing_energies_ev_per_atom([1.0, 1.0, 1.5, np.nan], sizes, x)).all()


@pytest.mark.parametrize("x", [[0.0, 0.5], [0.5, 1.0], [0.0, 1.0, 1.2]])
def test_both_end_members_are_needed(x):
    with pytest.raises(ValueError, match="compositions"):
        mixing_energies_ev_per_atom([1.0] * len(x), [1] * len(x), x)


def birch_murnaghan(v: np.ndarray, v0: float, modulus: float, slope: float) -> np.ndarray:
    """Energy in eV; `modulus` in eV/Å³."""
    t = (v0 / v) ** (2 / 3)
    return -5.0 + 9 * v0 * modulus / 16 * ((t - 1) ** 3 * slope + (t - 1) ** 2 * (6 - 4 * t))


@pytest.mark.parametrize("stiffening", [4.3, 4.0, 4.0 + 1e-9, 3.0])
def test_equation_of_state_gives_its_parameters_back(stiffening):
    """Its derivative B' of 4 leaves no cubic term."""
    v = 11.4 * np.array([0.94, 0.97, 1.0, 1.03, 1.06])
    found = equation_of_state(v, birch_murnaghan(v, 11.5, 200 * GPa, stiffening))
    assert found is not None
    assert found.volume == pytest.approx(11.5, rel=1e-9)
    assert found.bulk_modulus_gpa == pytest.approx(200.0, rel=1e-7)


def test_equation_of_state_is_that_of_ase():
    v = 11.4 * np.array([0.92, 0.95, 0.98, 1.01, 1.04, 1.07])
    energies = birch_murnaghan(v, 11.5, 140 * GPa, 5.0) + np.random.default_rng(0).normal(0, 1e-3, 6)
    volume, _, modulus = EquationOfState(v, energies, eos="birchmurnaghan").fit()
    found = equation_of_state(v, energies)
    assert found is not None
    assert found.volume == pytest.approx(volume, rel=1e-6)
    assert found.bulk_modulus_gpa == pytest.approx(modulus / GPa, rel=1e-4)


def test_without_a_minimum_between_the_volumes_there_is_no_equation_of_state():
    v = 11.4 * np.array([0.94, 0.97, 1.0, 1.03, 1.06])
    assert equation_of_state(v, birch_murnaghan(v, 13.0, 200 * GPa, 4.3)) is None
    assert equation_of_state(v, -birch_murnaghan(v, 11.4, 200 * GPa, 4.3)) is None
    assert equation_of_state(v, -v) is None
    assert equation_of_state(v, [0.0, np.nan, 0.0, 0.0, 0.0]) is None
    with pytest.raises(ValueError, match="5 volumes"):
        equation_of_state(v[:4], v[:4])


def test_crystals_of_one_table_are_fitted_apart():
    v = 11.4 * np.array([0.94, 0.97, 1.0, 1.03, 1.06])
    energies = {
        "stiff": birch_murnaghan(v, 11.5, 200 * GPa, 4.3),
        "soft": birch_murnaghan(v, 11.3, 90 * GPa, 4.6),
        "flat": -v,
    }
    lines = [(name, v[k], energies[name][k]) for k in range(len(v)) for name in energies]  # not one after the other
    found = equations_of_state(*zip(*lines, strict=True))
    assert list(found) == ["stiff", "soft", "flat"]
    assert found["flat"] is None
    for name, volume, modulus in (("stiff", 11.5, 200.0), ("soft", 11.3, 90.0)):
        assert found[name].volume == pytest.approx(volume, rel=1e-9)
        assert found[name].bulk_modulus_gpa == pytest.approx(modulus, rel=1e-6)
    assert equations_of_state([], [], []) == {}
