"""Copies stay together and are named; displacements on purpose are told apart; contradictions are refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.data.duplicates import check_contradictions, describe, find_copies
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, near_duplicates
from mfbench.mfcore.errors import DataError


def named(frames: list[Atoms]) -> list[Atoms]:
    for i, atoms in enumerate(frames):
        atoms.info |= {"structure_id": f"f{i}", "group": f"f{i}"}
    return frames


def distinct(n: int, seed: int = 0) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        atoms = molecule("C2H6")
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        frames.append(atoms)
    return named(frames)


def test_a_nudged_copy_is_named_with_the_tolerance() -> None:
    frames = distinct(20)
    copy = frames[4].copy()
    copy.positions += np.random.default_rng(1).normal(scale=0.004, size=copy.positions.shape)
    frames = named([*frames, copy])
    copies = find_copies(frames)
    assert [(p.first, p.second) for p in copies.pairs] == [(4, 20)]
    (note,) = copies.note(frames)
    assert "'f4' and 'f20'" in note
    assert f"{copies.tolerance:.2g} Å" in note


@pytest.mark.parametrize("size", [0.003, 0.01, 0.03])
@pytest.mark.parametrize("crystal", [bulk("NaCl", "rocksalt", a=5.6) * (2, 2, 2), bulk("Si", cubic=True)], ids=str)
def test_finite_displacements_are_told_apart(crystal: Atoms, size: float) -> None:
    frames = []
    for atom in range(6):
        for axis in range(3):
            for sign in (1, -1):
                atoms = crystal.copy()
                atoms.positions[atom, axis] += sign * size
                frames.append(atoms)
    copies = find_copies(named(frames))
    assert copies.pairs == ()


def test_a_cloud_of_small_rattles_is_told_apart_and_its_copies_are_not() -> None:
    rng = np.random.default_rng(2)
    frames = []
    for _ in range(30):
        atoms = bulk("NaCl", "rocksalt", a=5.6) * (2, 2, 1)
        atoms.positions += rng.normal(scale=0.005, size=atoms.positions.shape)
        frames.append(atoms)
    frames = named([*frames, frames[7].copy()])
    copies = find_copies(frames)
    assert (7, 30) in [(p.first, p.second) for p in copies.pairs]
    assert len({k for p in copies.pairs for k in (p.first, p.second)}) < 8


def test_several_nudges_of_each_of_many_frames_are_copies() -> None:
    rng = np.random.default_rng(3)
    frames = distinct(12)
    nudged = []
    for atoms in frames:
        for _ in range(3):
            copy = atoms.copy()
            copy.positions += rng.normal(scale=0.003, size=copy.positions.shape)
            nudged.append(copy)
    copies = find_copies(named([*frames, *nudged]))
    assert len({k for p in copies.pairs for k in (p.first, p.second)}) == 48


def test_one_geometry_with_two_energies_is_refused() -> None:
    frames = distinct(10)
    frames = named([*frames, frames[2].copy()])
    frames[-1].rotate(40, "z")
    for i, atoms in enumerate(frames):
        set_labels(atoms, "dft", energy=-10.0 - 0.001 * i)
    pairs = near_duplicates(frames, tolerance=SAME_GEOMETRY)
    check_contradictions(frames, pairs)
    set_labels(frames[-1], "dft", energy=-15.0)
    with pytest.raises(DataError, match=r"'f2' and 'f10' are one geometry with two energies, -10\.002 and -15 eV"):
        check_contradictions(frames, pairs, "a.xyz")


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[str, int, int]] = []
    frames = distinct(7)
    describe(frames, lambda *args: told.append(args))
    assert told[-1] == ("distances", 7, 7)
