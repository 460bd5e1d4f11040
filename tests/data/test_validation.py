"""Frames and labels that cannot be are refused, with the value that was found."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mfbench.mfcore.data.frames import set_labels, stress_of
from mfbench.mfcore.data.validation import LARGEST, check_geometry, validate_frame
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label


def test_left_handed_cells_are_as_good_as_right_handed_ones() -> None:
    for cell in (np.eye(3) * 4.0, np.eye(3)[::-1] * 4.0):
        atoms = Atoms("Cu", cell=cell, pbc=True)
        set_labels(atoms, "x", energy=-3.0, stress=np.eye(3) * 0.1)
        assert validate_frame(atoms) == set()
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
