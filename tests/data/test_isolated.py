"""Isolated atoms are known by their loneliness, and set reference energies exactly."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.isolated import is_isolated, isolated_energies_in
from mfbench.mfcore.data.reference_energies import ReferenceEnergies, least_squares_energies

E0 = {1: -13.6, 6: -1030.0, 8: -2040.0, 16: -10800.0}


def labelled(names: list[str], shift: float = 0.0) -> list[Atoms]:
    frames = []
    for name in names:
        atoms = Atoms(name) if len(name) == 1 else molecule(name)
        binding = 0.0 if len(atoms) == 1 else -4.0 * len(atoms)
        set_labels(atoms, "x", energy=sum(E0[z] + shift for z in atoms.numbers) + binding)
        frames.append(atoms)
    return frames


def energies(frames: list[Atoms]) -> np.ndarray:
    return np.array([a.info["x_energy"] for a in frames])


def test_single_atoms_with_room_are_isolated() -> None:
    assert is_isolated(Atoms("C"))
    assert is_isolated(Atoms("C", cell=[20, 20, 20], pbc=True))
    assert is_isolated(Atoms("C", cell=[9, 9, 9], pbc=(True, True, False)))
    assert not is_isolated(bulk("Cu"))
    assert not is_isolated(Atoms("C", cell=[20, 20, 2.5], pbc=True))
    assert not is_isolated(molecule("H2"))


def test_their_energies_are_reference_energies_exactly() -> None:
    frames = labelled(["H", "C", "CH4", "C2H6", "CH3OH", "H2O"])
    exact = isolated_energies_in(frames, "x")
    assert exact == {1: -13.6, 6: -1030.0}
    found = least_squares_energies(frames, energies(frames), (1, 6, 8), exact=exact)
    assert found.values[:2] == (-13.6, -1030.0)
    assert found.isolated == (1, 6)
    # oxygen takes what is left of the molecules that have it
    assert found.values[2] == pytest.approx(E0[8] - 4.0 * (6 + 3) / 2)
    assert found.rank == 3


def test_an_element_without_labels_gets_the_cheaper_value_and_the_mean_shift() -> None:
    names = ["CH4", "C2H6", "CH3OH", "H2O", "H2", "CO2", "C2H4"]
    low, high = labelled([*names, "SH2", "CS2"]), labelled(names, shift=1.5)
    cheap = least_squares_energies(low, energies(low), (1, 6, 8, 16))
    found = least_squares_energies(high, energies(high), (1, 6, 8, 16), cheaper=cheap)
    assert found.estimated == (16,)
    assert found.values[3] - cheap.values[3] == pytest.approx(1.5, abs=0.5)
    alone = least_squares_energies(high, energies(high), (1, 6, 8, 16))
    assert alone.estimated == (16,)
    np.testing.assert_allclose(found.values[:3], alone.values[:3])
    # as the residual policy has it: the cheaper model's errors are fitted, and its own energies are the start
    nothing = ReferenceEnergies((1, 6, 8, 16), (0.0,) * 4, "residual", 0, 0)
    rest = least_squares_energies(high, energies(high) - cheap.of(high), (1, 6, 8, 16), cheaper=nothing)
    assert rest.values[3] + cheap.values[3] == pytest.approx(found.values[3])


def test_with_one_stoichiometry_all_elements_keep_near_the_cheaper_values() -> None:
    low, high = labelled(["CH4", "C2H6", "CH3OH", "H2O", "CH3SH"]), labelled(["CH3OH"] * 4, shift=1.5)
    cheap = least_squares_energies(low, energies(low), (1, 6, 8, 16))
    found = least_squares_energies(high, energies(high), (1, 6, 8, 16), cheaper=cheap)
    assert found.rank == 1
    assert found.estimated == (16,)
    shifts = np.array(found.values) - np.array(cheap.values)
    assert (np.abs(shifts - 1.5) < 2.0).all(), shifts
    np.testing.assert_allclose(found.of(high), energies(high))
    assert found.as_dict()["estimated"] == (16,)


def test_without_isolated_atoms_nothing_changes() -> None:
    frames = labelled(["CH4", "C2H6", "CH3OH", "H2O"])
    plain = least_squares_energies(frames, energies(frames), (1, 6, 8))
    same = least_squares_energies(frames, energies(frames), (1, 6, 8), exact={}, cheaper=plain)
    assert plain.values == same.values
    assert (plain.isolated, plain.estimated) == ((), ())
    first = least_squares_energies(frames, energies(frames), (1, 6, 8, 9))
    assert (first.estimated, first.unknown) == ((9,), (9,))
    above = least_squares_energies(frames, energies(frames), (1, 6, 8, 9), cheaper=first)
    assert above.unknown == (9,)
