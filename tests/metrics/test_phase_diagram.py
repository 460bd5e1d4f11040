"""Hull distances of made-up systems: analytic hulls, and the linear program that a hull is by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.metrics.phase_diagram import (
    distances_to_hull_ev_per_atom,
    formation_energies_ev_per_atom,
    pure,
    shares_of_atoms,
)


def by_linear_program(shares, energies):
    """Energy above the cheapest mixture of phases that has the composition."""
    shares, energies = np.asarray(shares), np.asarray(energies)
    return np.array(
        [
            e - linprog(energies, A_eq=shares.T, b_eq=x, method="highs").fun
            for x, e in zip(shares, energies, strict=True)
        ]
    )


def test_a_binary_with_a_known_hull():
    """A, AB3, AB, A3B, B: the hull goes through AB at -0.4; AB3 at -0.1 is 0.1 above the line to B, A3B is on it."""
    x = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 1.0])
    energies = np.array([0.0, -0.2, -0.4, -0.1, 0.0, 0.05, 0.03])
    found = distances_to_hull_ev_per_atom(np.stack([1 - x, x], 1), energies)
    assert found == pytest.approx([0, 0, 0, 0.1, 0, 0.45, 0.03], abs=1e-12)


def test_a_ternary_with_a_known_hull():
    """One ternary compound ABC at -0.6: on the way from it to a corner the hull is linear."""
    corners = np.eye(3)
    centre = np.full(3, 1 / 3)
    between = 0.5 * (centre + corners[0])
    edge = np.array([0.5, 0.5, 0.0])
    shares = np.array([*corners, centre, between, edge])
    found = distances_to_hull_ev_per_atom(shares, [0, 0, 0, -0.6, -0.25, 0.02])
    assert found == pytest.approx([0, 0, 0, 0, 0.05, 0.02], abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_random_systems_agree_with_the_linear_program(k):
    generator = np.random.default_rng(k)
    counts = generator.integers(0, 4, (30, k))
    counts = np.concatenate([np.eye(k, dtype=int), counts[counts.sum(1) > 0]])
    shares = counts / counts.sum(1, keepdims=True)
    energies = generator.normal(-0.2, 0.3, len(shares)) * ~pure(shares)
    assert distances_to_hull_ev_per_atom(shares, energies) == pytest.approx(
        by_linear_program(shares, energies), abs=1e-9
    )


def test_an_ideal_solution_lies_on_its_hull():
    x = np.linspace(0, 1, 7)
    assert distances_to_hull_ev_per_atom(np.stack([1 - x, x], 1), np.zeros(7)) == pytest.approx(np.zeros(7))


def test_formation_is_relative_to_the_lowest_phase_of_each_component():
    """Li2O of -20 eV beside Li of -2 and -1.5 eV/atom and O of -5: (-20 + 2 · 2 + 5) / 3."""
    compositions = [{"Li": 1}, {"Li": 2}, {"O": 2}, {"Li": 2, "O": 1}, {"O": 1, "Na": 1}]
    shares, names = shares_of_atoms(compositions)
    assert names == ["Li", "Na", "O"]
    assert shares[3] == pytest.approx([2 / 3, 0, 1 / 3])
    energies = np.array([-2.0, -1.5, -5.0, -20 / 3, -3.0])
    found = formation_energies_ev_per_atom(shares, energies)
    assert found[:4] == pytest.approx([0, 0.5, 0, -11 / 3])
    assert np.isnan(found[4])  # no Na
    lost = formation_energies_ev_per_atom(shares, [np.nan, *energies[1:]])
    assert lost[1] == 0.0
    assert np.isnan(lost[0])


def test_compounds_may_be_the_components():
    """In1Ga3N4 is one quarter InN; an excess of N is no mixture of both."""
    parts = [{"Ga": 1, "N": 1}, {"In": 1, "N": 1}]
    shares, names = shares_of_atoms([{"Ga": 3, "In": 1, "N": 4}, {"In": 8, "N": 8}], parts)
    assert names == ["GaN", "InN"]
    assert shares == pytest.approx(np.array([[0.75, 0.25], [0, 1]]))
    assert pure(shares).tolist() == [False, True]
    with pytest.raises(DataError, match="GaInN3 is no mixture of GaN, InN"):
        shares_of_atoms([{"Ga": 1, "In": 1, "N": 3}], parts)
    with pytest.raises(DataError, match="mixtures of each other"):
        shares_of_atoms([{"Ga": 1, "N": 1}], [{"Ga": 1, "N": 1}, {"Ga": 2, "N": 2}])


def test_what_a_hull_cannot_be_made_of_is_said():
    with pytest.raises(DataError, match="component 1 of some phases is not a phase"):
        distances_to_hull_ev_per_atom([[1.0, 0.0], [0.5, 0.5]], [0.0, -1.0])
    with pytest.raises(DataError, match="finite"):
        distances_to_hull_ev_per_atom([[1.0, 0.0], [0.0, 1.0]], [0.0, np.nan])
    with pytest.raises(DataError, match="there are none"):
        shares_of_atoms([])
