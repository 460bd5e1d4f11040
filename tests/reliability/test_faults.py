"""The disk is full, or fails, at any of a command's writes; or the command is killed there, or at any moment.

Each command that writes runs on small files, over a layer between it and the file system that counts its writes. What
is left is whole, the sentence and the exit code are the disk's, and the same command goes on to the same end.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

from tests.reliability.counts import COUNTS
from tests.reliability.scenes import SCENES, Stage
from tests.reliability.warm import KILL, Warm, warm

SAYS = {errno.ENOSPC: "no space is left on the disk", errno.EIO: "the disk failed to read or write"}
#: Checkpoints of stages that several runs share stay for the same command, each with its lock.
STAGE_LOCK = "runs/work/shared/stage-*.lock"
#: Of the tests that are not slow: the first write, and some others.
FEW = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with warm(tmp_path_factory.mktemp("warm"), faults=True) as found:
        if not found.faults:
            pytest.skip("the layer of faults needs Linux and a C compiler")
        yield found


@pytest.fixture(scope="module", params=SCENES)
def stage(request: pytest.FixtureRequest, server: Warm, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(server, request.param, tmp_path_factory.mktemp("stages"))


def places(n: int, seed: str, few: int) -> list[int]:
    """Numbers of operations from 1 to n: all, or a few."""
    return list(range(1, n + 1)) if few >= n else sorted({1, *random.Random(seed).sample(range(1, n + 1), few)})


def fill(stage: Stage, number: int, stays: bool, most: int) -> None:
    n = stage.undisturbed.operations
    assert n
    for at in places(n, f"{stage.name}{number}", most):
        stage.reset()
        ended = stage.call(at=at, number=number, stays=stays)
        told = (stage.name, at, ended.out, ended.err)
        assert "Traceback" not in ended.out + ended.err, told
        if ended.code:
            assert ended.code == 3, told
            (line,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
            assert SAYS[number] in line, told
        stage.check_whole(told)
        left = [name for name in stage.litter() if ".partial" not in name and not fnmatch(name, STAGE_LOCK)]
        assert left == [] or number == errno.EIO, (told, left)
        stage.check_right(told)
        COUNTS["disk faults"][stage.name] += 1


def test_a_full_disk(stage: Stage) -> None:
    fill(stage, errno.ENOSPC, stays=True, most=FEW)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("number", "stays"), [(errno.ENOSPC, True), (errno.EIO, False)], ids=["full", "failing"])
def test_a_disk_at_every_write(stage: Stage, number: int, stays: bool) -> None:
    fill(stage, number, stays, most=150)


def kill(stage: Stage, seed: int, kills: int) -> None:
    """Kill at random moments and at random writes, now and then several times in a row."""
    rng, met = random.Random(f"{stage.name}{seed}"), 0
    while met < kills:
        stage.reset()
        told = []
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.5:
                ended = stage.call(at=rng.randint(1, stage.undisturbed.operations), number=KILL)
            else:
                ended = stage.call(seconds=rng.uniform(0.0, stage.undisturbed.wall_s))
            told.append(ended)
            if ended.killed:
                met += 1
                COUNTS["kills"][stage.name] += 1
            stage.check_whole(told)
        stage.check_right(told)


def test_a_kill(stage: Stage) -> None:
    kill(stage, 0, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_random_moments(stage: Stage) -> None:
    kill(stage, 1, 16)
