"""Leakage: planted copies are found, however they are disguised; real distinct frames are not accused."""

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mfbench.benchmarks.tasks.molecular_cc.task import MolecularCC
from mfbench.mfcore.data.leakage import (
    DUPLICATE_TOLERANCE,
    check_leakage,
    near_duplicates,
    sampling_tolerance,
)
from mfbench.mfcore.errors import LeakageError


@pytest.fixture(scope="module")
def real() -> list[Atoms]:
    return [a for a in MolecularCC().frames if len(a) >= 5]


def renamed(atoms: Atoms, name: str = "copy") -> Atoms:
    copy = atoms.copy()
    copy.info |= {"structure_id": name, "group": name}
    return copy


def exact(atoms, rng):
    return renamed(atoms)


def moved(atoms, rng):
    copy = renamed(atoms)
    copy.positions += [3.0, -40.0, 7.0]
    return copy


def rotated(atoms, rng):
    copy = renamed(atoms)
    copy.positions = Rotation.random(random_state=1).apply(copy.positions)
    return copy


def mirrored(atoms, rng):
    copy = renamed(atoms)
    copy.positions *= [1, -1, 1]
    return copy


def permuted(atoms, rng):
    return renamed(atoms)[rng.permutation(len(atoms))]


def nudged(atoms, rng):
    copy = renamed(atoms)
    steps = rng.normal(size=copy.positions.shape)
    copy.positions += 0.01 * steps / np.linalg.norm(steps, axis=1, keepdims=True)
    return copy


def everything(atoms, rng):
    return permuted(rotated(nudged(mirrored(atoms, rng), rng), rng), rng)


DISGUISES = [exact, moved, rotated, mirrored, permuted, nudged, everything]


@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda f: f.__name__)
def test_a_planted_copy_is_named(real, disguise):
    rng = np.random.default_rng(0)
    training = [a for a in real if a.info["group"] == "CH3OH"]
    original = training[10]
    test = [a for a in real if a.info["group"] == "C2H6"]
    check_leakage(training, test)
    planted = disguise(original, rng)
    planted.info |= {"structure_id": "planted", "group": "planted"}
    with pytest.raises(LeakageError, match=f"1 of .*'planted' is '{original.info['structure_id']}'"):
        check_leakage(training, [*test, planted])


def test_nudged_copies_are_nearly_all_found_and_distinct_frames_are_not(real):
    rng = np.random.default_rng(1)
    large = [a for a in real if len(a) >= 6]
    pairs = near_duplicates(large, [nudged(a, rng) for a in large])
    found = {p.first for p in pairs if p.first == p.second}
    assert len(found) > 0.99 * len(large)
    assert len(pairs) == len(found), "a nudged frame was taken for a copy of another frame"
    assert near_duplicates(real) == []


def test_shared_groups_and_ids_are_refused(real):
    methanol = [a for a in real if a.info["group"] == "CH3OH"]
    with pytest.raises(LeakageError, match=r"1 groups are in both .*CH3OH"):
        check_leakage(methanol[:20], methanol[20:])
    same_id = real[0].copy()
    same_id.positions[0] += 1.0
    same_id.info["group"] = "another"
    with pytest.raises(LeakageError, match="structure_ids"):
        check_leakage([real[0]], [same_id])


def test_periodic_copies_and_strained_frames():
    rng = np.random.default_rng(2)
    frames = []
    for i in range(6):
        atoms = bulk("GaN", "wurtzite", a=3.19, c=5.19) * (2, 1, 1)
        atoms.rattle(0.1, rng=rng)
        atoms.info |= {"structure_id": f"gan-{i}", "group": f"gan-{i}"}
        frames.append(atoms)
    assert near_duplicates(frames) == []
    copy = frames[3].copy()
    copy.rotate(37, (1, 2, 3), rotate_cell=True)
    copy.positions += [0.3, 0.4, 0.5]
    copy.wrap()
    copy = copy[rng.permutation(len(copy))]
    (pair,) = near_duplicates(frames, [copy])
    assert (pair.first, pair.second) == (3, 0)
    assert pair.rms < 1e-6
    strained = frames[3].copy()
    strained.set_cell(strained.cell * 1.02, scale_atoms=True)
    assert near_duplicates(frames, [strained]) == []


def test_a_molecule_is_no_copy_of_a_crystal_nor_of_another_composition():
    gas, boxed = molecule("H2O"), molecule("H2O", vacuum=5.0, pbc=True)
    sulfide = molecule("H2O")
    sulfide.symbols[0] = "S"
    assert near_duplicates([gas], [boxed]) == []
    assert near_duplicates([gas], [sulfide]) == []
    assert len(near_duplicates([Atoms("H")], [Atoms("H", [[5, 5, 5]])])) == 1


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 12), seed=st.integers(0, 2**16), scale=st.floats(0.0, 0.03))
def test_no_copy_within_the_tolerance_is_missed(n, seed, scale):
    """The distance found never exceeds the rms change of the distances, so that none is missed."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(rng.choice([1, 6, 8], size=n), rng.normal(scale=2.0, size=(n, 3)))
    copy = atoms.copy()
    copy.positions += rng.normal(scale=scale, size=(n, 3))
    i, j = np.triu_indices(n, 1)
    change = (copy.get_all_distances() - atoms.get_all_distances())[i, j]
    rms = float(np.sqrt(np.mean(change**2)))
    copy = copy[rng.permutation(n)]
    (pair,) = near_duplicates([atoms], [copy], tolerance=rms + 1e-9)
    assert pair.rms <= rms + 1e-9


def test_dense_samples_get_a_tolerance_of_their_own(real):
    rng = np.random.default_rng(3)
    water = molecule("H2O")
    dense = []
    for _ in range(400):
        atoms = water.copy()
        atoms.positions += rng.normal(scale=0.03, size=(3, 3))
        dense.append(atoms)
    tolerance = sampling_tolerance(dense)
    assert tolerance < 0.5 * DUPLICATE_TOLERANCE
    assert sampling_tolerance(dense + dense) == pytest.approx(tolerance), "copies must not hide themselves"
    assert sampling_tolerance(real) == DUPLICATE_TOLERANCE
    assert sampling_tolerance([water]) == DUPLICATE_TOLERANCE


def test_cost_grows_no_faster_than_the_frames():
    """Four times the frames must not take sixteen times as long."""
    rng = np.random.default_rng(4)

    def seconds(n: int) -> float:
        base = rng.normal(scale=1.5, size=(8, 3))
        frames = [Atoms("C2H6", base + rng.normal(scale=0.2, size=(8, 3))) for _ in range(n)]
        begin = time.process_time()
        near_duplicates(frames[: n // 4], frames[n // 4 :])
        return time.process_time() - begin

    seconds(100)
    assert seconds(2400) < 10 * max(seconds(600), 0.02)
