"""The sampled cells are what they say: composition, order of cations, half-filled lithium sites, fixed by the seed."""

import numpy as np
import pytest
from ase.data import atomic_numbers

from mfbench.benchmarks.tasks.ingan.sample import TRAINED_X
from mfbench.benchmarks.tasks.ingan.sample import round_one as ingan
from mfbench.benchmarks.tasks.li6ps5cl.sample import SMALL_DISPLACEMENT_A
from mfbench.benchmarks.tasks.li6ps5cl.sample import round_one as li6ps5cl


def shortest(atoms):
    return atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)].min()


def test_argyrodite_cells():
    frames = li6ps5cl(24)
    assert {atoms.get_chemical_formula() for atoms in frames} == {"ClLi6PS5"}
    assert {bool(atoms.info["antisite"]) for atoms in frames} == {True, False}
    for atoms in frames:
        assert shortest(atoms) > 1.75
        assert len(atoms) == 13
        assert 180 < atoms.get_volume() < 310  # Å^3; a = 9.85 Å: 239
        distances = atoms.get_all_distances(mic=True)
        phosphorus = int(np.flatnonzero(atoms.numbers == atomic_numbers["P"])[0])
        bonds = np.sort(distances[phosphorus][atoms.numbers == atomic_numbers["S"]])
        assert (bonds[:4] < 3.0).all()  # a PS4 tetrahedron
        assert bonds[4] > 3.0
    high = [atoms for atoms in frames if "r2scan" in atoms.info["levels"]]
    assert high
    assert any(atoms.info["displacement_A"] < SMALL_DISPLACEMENT_A for atoms in high)


def test_nitride_cells_and_their_groups():
    frames = ingan(60)
    for atoms in frames:
        assert len(atoms) == 16
        assert (atoms.numbers == atomic_numbers["N"]).sum() == 8
        assert (atoms.numbers == atomic_numbers["In"]).sum() == round(8 * atoms.info["x_In"])
        assert shortest(atoms) > 1.5
    groups: dict[str, set[str]] = {}
    for atoms in frames:
        groups.setdefault(atoms.info["group"], set()).add(" ".join(atoms.get_chemical_symbols()))
    assert all(len(orders) == 1 for orders in groups.values())
    mixed = [order for name, orders in groups.items() if "block" not in name for order in orders]
    assert len(mixed) == len(set(mixed))  # one order of the cations, one group
    assert {float(atoms.info["x_In"]) for atoms in frames} >= set(TRAINED_X)


@pytest.mark.parametrize("sample", [li6ps5cl, ingan])
def test_a_frame_does_not_depend_on_how_many_follow(sample):
    few, many = sample(5), sample(9)
    for one, other in zip(few, many, strict=False):
        assert one == other
        assert one.info == other.info
