"""What a number was measured with: the preset, the data, and the code that scores. Not what is being tracked.

An edited benchmark gives other numbers, which are neither better nor worse than the old ones. The hash has the regime,
budget and settings that the preset gives, the data and the split, and the sources of task, evaluation and metrics. It
leaves out mfcore's networks and training and the strategies, with their default settings: a change of those is what a
regression run is there to find.
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.keys import digest, source_hash

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.prepare import PlannedRun

TRACKED_PARTS = ("code", "settings", "seed", "trials")
"""Parts of a run's identity that are not part of the benchmark: the code, its resolved settings, and the repetition."""

SCORING = ("mfbench.benchmarks.observables.errors", "mfbench.mfcore.metrics.errors")
"""Modules that turn predictions into metrics."""

DYNAMICS = (
    "mfbench.benchmarks.observables.stability",
    "mfbench.mfcore.dynamics",
    "mfbench.mfcore.metrics.survival",
    "mfbench.mfcore.metrics.drift",
)
"""Modules that the stability metrics come from, beside."""


def benchmark_hash(run: PlannedRun, *, dynamics: bool = False) -> str:
    """Hash of what a run's metrics are measured with; equal for runs that differ in seed or in the tracked code."""
    from mfbench.benchmarks.harness.prepare import task_of

    parts = {name: value for name, value in run.identity.items() if name not in TRACKED_PARTS and value is not None}
    given = run.spec.settings  # as the preset has them: the defaults beneath are tracked
    return digest({**parts, "given": dict(given), "scoring": _scoring(type(task_of(run.spec)), dynamics)})


@cache
def _scoring(task: type, dynamics: bool) -> str:
    modules = SCORING + (DYNAMICS if dynamics else ())
    paths = {Path(inspect.getfile(task))}
    for module in modules:
        path = _source(module)
        if path is not None:
            paths.add(path)
    return source_hash(paths)


def _source(module: str) -> Path | None:
    """File of a module, or folder of a package; None if there is none."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path
