"""Clocks in a training step: time is counted once, and all of it."""

from __future__ import annotations

from itertools import count

import pytest

from mfbench.benchmarks.performance import profile as where
from tests.ops.examples import skip_without


def test_time_inside_another_call_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that ticks at every look: 1 inside, and of the 5 outside, two inner calls of 1 each are not its own."""
    ticks = count()
    monkeypatch.setattr(where.time, "thread_time_ns", lambda: next(ticks))
    clock = where.Clock()
    inner = clock.timed(lambda: None, lambda: "inner")
    outer = clock.timed(lambda: [inner(), inner()], lambda: "outer")
    for _ in range(2):
        outer()
        clock.next_step()
    assert dict(clock.steps) == {"inner": [2e-6, 2e-6], "outer": [3e-6, 3e-6]}


def test_a_call_that_raises_is_counted_and_leaves_the_clock_right() -> None:
    clock = where.Clock()

    def fails() -> None:
        raise ValueError("broken")

    def tries() -> None:
        with pytest.raises(ValueError, match="broken"):
            clock.timed(fails, lambda: "inner")()

    clock.timed(tries, lambda: "outer")()
    clock.next_step()
    assert set(clock.steps) == {"inner", "outer"}
    assert clock._inner == []


def test_without_kernels_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFBENCH_BACKEND", "reference")
    with pytest.raises(SystemExit, match="no kernels in C"):
        where.main(["--workload", "molecules:2", "--steps", "1"])


@skip_without("cpp")
def test_the_parts_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    where.main(["--workload", "molecules:2", "--steps", "3"])
    printed = capsys.readouterr().out
    for part in ("convolution, double backward", "node update, forward", "radial tables", "readout", "optimiser"):
        assert part in printed
    lines = printed.strip().splitlines()
    assert lines[-1].startswith(where.REST)
    assert sum(float(line.split()[-2]) for line in lines[1:]) == pytest.approx(100.0, abs=0.1 * len(lines))
