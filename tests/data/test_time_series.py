"""Trajectories are known by their order, and cut into blocks of two correlation times; independent frames are not."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.data.time_series import BLOCK, Series, autocorrelation, block_groups, find_series


def trajectory(n: int, memory: float, seed: int = 0, name: str = "CH3OH") -> list[Atoms]:
    """Displacements with the autocorrelation memory**lag: an Ornstein-Uhlenbeck process."""
    rng = np.random.default_rng(seed)
    start = molecule(name)
    step = rng.normal(size=start.positions.shape)
    made = []
    for i in range(n):
        atoms = start.copy()
        atoms.positions += 0.1 * step
        atoms.info |= {"structure_id": f"{name}-{i}", "group": f"{name}-{i}"}
        made.append(atoms)
        step = memory * step + np.sqrt(1 - memory**2) * rng.normal(size=step.shape)
    return made


def test_the_autocorrelation_of_a_known_process() -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=40)]
    for _ in range(4000):
        values.append(0.8 * values[-1] + 0.6 * rng.normal(size=40))
    np.testing.assert_allclose(autocorrelation(np.array(values), 4), 0.8 ** np.arange(1, 5), atol=0.02)
    assert not autocorrelation(np.ones((9, 3)), 3).any()


@pytest.mark.parametrize(("memory", "time"), [(0.7, 3), (0.85, 6)])
def test_a_trajectory_is_found_with_its_correlation_time(memory: float, time: float) -> None:
    (series,) = find_series(trajectory(400, memory))
    assert series.indices == tuple(range(400))
    assert series.correlation == pytest.approx(time + 0.5, abs=2.5)
    assert series.block == int(np.ceil(2 * series.correlation))


@pytest.mark.parametrize("n", [8, 20, 60, 300])
@pytest.mark.parametrize("seed", range(5))
def test_independent_frames_are_no_series(n: int, seed: int) -> None:
    assert find_series(trajectory(n, 0.0, seed)) == []


def test_blocks_keep_at_least_six_groups_and_are_said() -> None:
    frames = trajectory(60, 0.9)
    series, (note,) = block_groups(frames)
    groups = [a.info["group"] for a in frames]
    assert len(set(groups)) >= 6
    changes = sum(a != b for a, b in zip(groups[1:], groups[:-1], strict=True))
    assert changes == len(set(groups)) - 1, "a block is not contiguous"
    assert all(g.startswith(BLOCK) for g in groups)
    assert "60 frames from 'CH3OH-0' to 'CH3OH-59' are a time series" in note
    assert "--block" in note
    assert series[0].block * len(set(groups)) <= 60


def test_a_block_can_be_chosen_and_groups_that_are_given_stay() -> None:
    frames = trajectory(60, 0.9)
    assert block_groups(frames, 1) == ([], [])
    assert len({a.info["group"] for a in frames}) == 60
    assert "groups are 3 blocks of 20 frames" in block_groups(frames, 20)[1][0]
    assert len({a.info["group"] for a in frames}) == 3
    assert "groups are 3 blocks of 17 to 26 frames" in block_groups(trajectory(60, 0.9), 17)[1][0]
    given = trajectory(60, 0.9)
    for i, atoms in enumerate(given):
        atoms.info["group"] = f"run {i // 30}"
    assert block_groups(given) == ([], [])
    assert {a.info["group"] for a in given} == {"run 0", "run 1"}


def test_two_molecules_that_take_turns_are_two_series() -> None:
    first, second = trajectory(40, 0.9, 1), trajectory(40, 0.9, 2, "C2H6")
    mixed = [a for pair in zip(first, second, strict=True) for a in pair]
    series = find_series(mixed)
    assert [s.indices for s in series] == [tuple(range(0, 80, 2)), tuple(range(1, 80, 2))]


def test_one_displacement_each_is_no_series() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for i in range(24):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.positions[rng.integers(32)] += 0.01 * rng.normal(size=3)
        atoms.info |= {"structure_id": str(i), "group": str(i)}
        frames.append(atoms)
    assert find_series(frames) == []


def test_the_last_block_takes_what_is_left() -> None:
    assert Series(tuple(range(10, 17)), 1.0, 3).blocks() == [(10, 11, 12), (13, 14, 15, 16)]
