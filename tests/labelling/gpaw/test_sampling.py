"""The sampled cells are what they say: composition, order of cations, half-filled lithium sites, fixed by the seed."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
from ase.data import atomic_numbers

from mfbench.benchmarks.labelling.gpaw.cells import collect
from mfbench.benchmarks.labelling.ingan.generate import CRYSTAL as NITRIDE
from mfbench.benchmarks.labelling.ingan.sample import TRAINED_X
from mfbench.benchmarks.labelling.ingan.sample import round_one as ingan
from mfbench.benchmarks.labelling.li6ps5cl.generate import CRYSTAL as ARGYRODITE
from mfbench.benchmarks.labelling.li6ps5cl.sample import SMALL_DISPLACEMENT_A
from mfbench.benchmarks.labelling.li6ps5cl.sample import round_one as li6ps5cl
from mfbench.mfcore.data.read import read_frames


@cache
def _first(name):
    return {crystal.name: crystal for crystal in (ARGYRODITE, NITRIDE)}[name].first()


def first(crystal):
    """Frames of the first round, which take seconds."""
    return _first(crystal.name)


def shortest(atoms):
    return atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)].min()


def stored(crystal):
    return read_frames(crystal.home / "data" / f"{crystal.name}.extxyz")


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


@pytest.mark.parametrize("crystal", [ARGYRODITE, NITRIDE], ids=lambda crystal: crystal.name)
def test_the_plan_is_as_large_as_the_comparisons_need(crystal):
    plan = crystal.rounds()["further"]
    starts = collect(plan.prefix, plan.start, plan.n_trajectories, stream=(plan.stream,))
    for number, atoms in enumerate(starts):
        atoms.info["temperature_K"] = plan.temperatures_k[number % len(plan.temperatures_k)]
        atoms.info["levels"] = "pbe+r2scan"
    assert (plan.n_high, plan.per_trajectory) == (plan.n_trajectories, 1)
    snapshots = [a for a in stored(crystal) if a.info.get("kind") == "md"]
    high = [a for a in (*first(crystal), *starts) if "r2scan" in a.info["levels"]]
    high += [a for a in snapshots if "r2scan_energy" in a.info]
    sides = Counter(crystal.covered(atoms) for atoms in high)
    assert sides[True] >= 160 + 60 + 8  # four draws of 40, the test, validation
    assert sides[False] >= 100
    assert len(first(crystal)) + len(starts) + len(snapshots) >= 400 + 60 + 100


def test_a_further_round_of_dynamics_starts_elsewhere():
    for crystal in (ARGYRODITE, NITRIDE):
        plans = crystal.rounds().values()
        further = crystal.rounds()["further"]
        assert len({plan.prefix for plan in plans}) == len(plans)  # of structure_id
        assert [plan.stream for plan in plans].count(further.stream) == 1


@pytest.mark.parametrize("crystal", [ARGYRODITE, NITRIDE], ids=lambda crystal: crystal.name)
def test_a_larger_first_round_leaves_what_is_labelled_as_it_is(crystal):
    planned = {atoms.info["structure_id"]: atoms for atoms in first(crystal)}
    labelled = [atoms for atoms in stored(crystal) if "kind" not in atoms.info]
    assert labelled
    for atoms in labelled:
        same = planned[atoms.info["structure_id"]]
        assert same.info["group"] == atoms.info["group"]
        np.testing.assert_allclose(same.positions, atoms.positions, atol=1e-6)
        levels = [level for level in ("pbe", "r2scan") if f"{level}_energy" in atoms.info]
        assert set(levels) <= set(same.info["levels"].split("+"))
