"""Checkpoints that runs of a preset start from, by the names that the preset gives."""

from __future__ import annotations

from collections.abc import Iterable

from mfbench.benchmarks.harness.cores import core_of
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.mfcore.cores.registry import core_class


def checkpoints_of(runs: Iterable[RunSpec]) -> list[tuple[str, str]]:
    """Names of the cores and of the checkpoints that runs start from, each pair once.

    Raises
    ------
    ConfigError
        If settings give a core that there is not.
    """
    found = (core_of(run.settings if run.core is None else run.core.over(run.settings)) for run in runs)
    return list(dict.fromkeys((core.name, core.checkpoint) for core in found if core.checkpoint is not None))


def trust_checkpoints(runs: Iterable[RunSpec]) -> None:
    """Let the checkpoints of runs be read, though reading a pickle executes the code in it.

    Raises
    ------
    ConfigError
        If there is no such checkpoint.
    DataError
        If one is no checkpoint of its core.
    """
    for core, checkpoint in checkpoints_of(runs):
        core_class(core).trust_checkpoint(checkpoint)
