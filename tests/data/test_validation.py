"""Frames and labels that cannot be are refused, with the value that was found."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mfbench.mfcore.data.frames import set_labels, stress_of
from mfbench.mfcore.data.validation import (
    LARGEST,
    check_all_finite,
    check_all_numbers,
    check_geometry,
    check_numbers,
    validate_frame,
)
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label


def test_left_handed_cells_are_as_good_as_right_handed_ones() -> None:
    for cell in (np.eye(3) * 4.0, np.eye(3)[::-1] * 4.0):
        atoms = Atoms("Cu", cell=cell, pbc=True)
        set_labels(atoms, "x", energy=-3.0, stress=np.eye(3) * 0.1)
        assert validate_frame(atoms) == {}
        np.testing.assert_array_equal(stress_of(atoms, "x"), np.eye(3) * 0.1)


@pytest.mark.parametrize("label", list(Label))
def test_sizes_beyond_any_calculation_are_refused_with_the_value(label: Label) -> None:
    atoms = bulk("Cu")
    size = 1.5 * LARGEST[label]
    values = {
        Label.ENERGY: ("energy", size),
        Label.FORCES: ("forces", [[size, 0, 0]]),
        Label.STRESS: ("stress", size * np.eye(3)),
    }
    name, value = values[label]
    set_labels(atoms, "x", **{name: value})
    with pytest.raises(DataError, match=f"found {size:.3g}".replace("+", r"\+")):
        validate_frame(atoms, file="a.xyz", index=3)


def test_coincident_atoms_are_named_by_frame_and_atoms() -> None:
    atoms = Atoms("CuCu", [[0.1, 0, 0], [3.9, 0, 0]], cell=[3.8, 9, 9], pbc=(True, False, False))
    with pytest.raises(DataError, match=r"frame 7.*atoms 0 and 1 are at one place"):
        check_geometry(atoms, index=7)
    atoms.pbc = False
    check_geometry(atoms)


def _spoilt(fault: str) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    if fault == "position":
        atoms.positions[1, 2] = np.nan
    elif fault == "far":
        atoms.positions[0, 0] = 1e9
    elif fault == "element":
        atoms.numbers[3] = 0
    elif fault == "cell":
        atoms.cell[2, 2] = 1e-3
    elif fault == "open cell":
        atoms.pbc = False
        atoms.cell[0, 0] = np.inf
    else:
        atoms = Atoms()
    return atoms


@pytest.mark.parametrize("fault", ["position", "far", "element", "cell", "open cell", "empty"])
def test_frames_checked_together_are_refused_as_each_alone(fault: str) -> None:
    molecule = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])
    with pytest.raises(DataError) as alone:
        check_numbers(_spoilt(fault), index=2)
    with pytest.raises(DataError) as together:
        check_all_numbers([molecule, bulk("Cu", cubic=True), _spoilt(fault), molecule])
    assert str(together.value) == str(alone.value)
    check_all_numbers([molecule, bulk("Cu", cubic=True)])
    check_all_numbers([])


@pytest.mark.parametrize("what", ["energy", "forces"])
def test_predictions_that_are_no_numbers_are_refused_by_their_frame(what: str) -> None:
    frames = [Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]]) for _ in range(3)]
    energies, forces = np.zeros(3), [np.zeros((2, 3)) for _ in frames]
    check_all_finite(frames, energies, forces)
    check_all_finite(frames, energies, None)
    if what == "energy":
        energies[1] = np.inf
    else:
        forces[1][0, 0] = np.nan
    with pytest.raises(DataError, match="frame 1"):
        check_all_finite(frames, energies, forces)
