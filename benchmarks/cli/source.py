"""Stored runs that a command reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mfbench.benchmarks.cli.output import say

if TYPE_CHECKING:
    from mfbench.benchmarks.reports import Results

Source = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of runs, or a file of rows (.csv.gz).")]


def say_missing(source: Path) -> None:
    """Say on stderr how many planned runs the tables lack."""
    from mfbench.benchmarks.harness.store import RunStore

    missing = RunStore(source).missing() if source.is_dir() else 0
    if missing:
        say(f"{source}: {missing} planned runs are not stored and missing here; `mfbench run` adds them", err=True)


def read(source: Path) -> Results:
    """Read stored runs, and say which of their arms and observables no package here brings."""
    from mfbench.benchmarks.reports import Results

    results = Results.read(source)
    if results.unknown_arms:
        names = ", ".join(results.unknown_arms)
        say(f"not installed here: {names}; shown as ordinary arms that learn from LF labels.", err=True)
    if results.unknown_metrics:
        names = ", ".join(results.unknown_metrics)
        say(f"not installed here: the observables of {names}; no table or figure has them.", err=True)
    return results
