"""Executors by what a command is told."""

from __future__ import annotations

import os

from mfbench.benchmarks.harness.executors.base import Executor
from mfbench.benchmarks.harness.executors.local import LocalExecutor


def make_executor(workers: int) -> Executor:
    """Make the executor of a command.

    Parameters
    ----------
    workers
        Processes of this machine; 0 runs the jobs in this process.
    """
    return LocalExecutor(workers)


def default_workers() -> int:
    """Number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
