"""Where the CPU time of a training step goes: kernels by pass, radial tables, optimiser, and what is around them.

``python -m mfbench.benchmarks.performance.profile --workload molecules:32`` prints a table; ``--help`` lists the rest.
The step is that of the comparison with peers (``mfbench.benchmarks.performance.speed``), at one thread. Kernels are
those in generated C++; what torch and Python do between them is "the rest". The clocks themselves cost some 2 % of a
step.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any
from unittest.mock import patch

REST = "the rest: torch and Python"


class Clock:
    """CPU time by label, without that of labelled calls inside; of each step."""

    def __init__(self) -> None:
        self._inner: list[int] = []
        self._step: dict[str, int] = {}
        self.steps: dict[str, list[float]] = defaultdict(list)

    def timed(self, function: Callable[..., Any], label: Callable[..., str]) -> Callable[..., Any]:
        """Return the function with a clock; `label` is given its arguments."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time_ns()
            self._inner.append(0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.thread_time_ns() - start
                name = label(*args, **kwargs)
                self._step[name] = self._step.get(name, 0) + whole - self._inner.pop()
                if self._inner:
                    self._inner[-1] += whole

        return call

    def next_step(self) -> None:
        """Keep what was counted as one step, in ms."""
        for name, spent in self._step.items():
            self.steps[name].append(spent / 1e6)
        self._step = {}


def clocks(clock: Clock, calls: Any) -> ExitStack:
    """Clocks in the kernels of the core and in the optimiser of `calls`, until the stack is closed."""
    from mfbench.mfcore.backends.cpp.convolution import CppConvolution
    from mfbench.mfcore.backends.cpp.edge_sums import CppEdges
    from mfbench.mfcore.backends.cpp.geometry import CppGeometry
    from mfbench.mfcore.backends.cpp.node_update import CppUpdate
    from mfbench.mfcore.backends.cpp.readout import CppReadout
    from mfbench.mfcore.ops.radial import autograd as radial

    stack = ExitStack()

    def add(owner: Any, name: str, label: Callable[..., str]) -> None:
        stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), label)))

    add(CppConvolution, "_run", lambda _, name, *__: f"convolution, {name.replace('_', ' ')}")
    add(CppUpdate, "_run", lambda _, name, *__: f"node update, {name.replace('_', ' ')}")
    add(CppGeometry, "_run", lambda *_: "geometry and sums over edges")
    for name in ("differences", "sums"):
        add(CppEdges, name, lambda *_: "geometry and sums over edges")
    for name in ("forward", "backward", "double_backward"):
        add(CppReadout, name, lambda *_: "readout")
    for name in ("forward", "backward"):
        made = clock.timed(getattr(radial._Tables, name), lambda *_: "radial tables")
        stack.enter_context(patch.object(radial._Tables, name, staticmethod(made)))
    add(calls._optimiser, "step", lambda *_: "optimiser")
    add(calls, "training_step", lambda *_: REST)
    return stack


def measure(workload: str, steps: int, variant: str = "base") -> dict[str, float]:
    """Median CPU time of each part of a training step, ms, the largest first.

    Parameters
    ----------
    workload
        See :func:`mfbench.benchmarks.performance.workloads.workload`.
    steps
        How many to time, after ten that are not.
    variant
        Shape of the network, one of those of the comparison.

    Raises
    ------
    ConfigError
        If there is no such workload, or the core does not use the kernels in C++.
    """
    import torch

    from mfbench.benchmarks.performance.contenders.registry import CORE
    from mfbench.benchmarks.performance.speed.calls import Calls, labelled
    from mfbench.benchmarks.performance.speed.settings import NETWORKS, Job
    from mfbench.mfcore.errors import ConfigError

    torch.set_num_threads(1)
    calls = Calls(Job(CORE, workload, NETWORKS[variant], 1), labelled(workload))
    for _ in range(10):
        calls.training_step()
    clock = Clock()
    with clocks(clock, calls):
        for _ in range(steps):
            calls.training_step()
            clock.next_step()
    if len(clock.steps) < 4:
        raise ConfigError("the core uses no kernels in C++ here; `mfbench info` says why.")
    found = {name: median(spent) for name, spent in clock.steps.items()}
    return dict(sorted(found.items(), key=lambda item: (item[0] == REST, -item[1])))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    from mfbench.benchmarks.performance.speed.settings import NETWORKS
    from mfbench.mfcore.errors import ConfigError

    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.performance.profile", description=__doc__)
    parser.add_argument("--workload", default="molecules:32", help="as of the comparison (default molecules:32)")
    parser.add_argument("--variant", choices=list(NETWORKS), default="base", help="shape of the network")
    parser.add_argument("--steps", type=int, default=100, help="steps to time (default 100)")
    given = parser.parse_args(argv)
    try:
        parts = measure(given.workload, given.steps, given.variant)
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    total = sum(parts.values())
    print(f"{given.workload}, {given.variant}: a training step of {total:.1f} CPU-ms")
    for name, spent in parts.items():
        print(f"{name:36s} {spent:8.3f} ms {100.0 * spent / total:5.1f} %")


if __name__ == "__main__":
    main()
