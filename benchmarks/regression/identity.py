"""Identity of a benchmark: the preset, the data, and the code that scores; not the code that is tracked.

An edited benchmark gives other numbers, which are neither better nor worse than the old ones. The hash has the regime,
budget and settings that the preset gives, the data and the split, and the sources of the task and of the observable. It
leaves out mfcore's networks and training and the strategies, with their default settings: a change of those is what a
regression run is there to find.
"""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.keys import digest, source_hash
from mfbench.benchmarks.observables.registry import declaring

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.prepare import PlannedRun

TRACKED_PARTS = ("code", "settings", "seed", "trials")
"""Parts of a run's identity that are not part of the benchmark: the code, its resolved settings, and the repetition."""


def benchmark_hash(run: PlannedRun, metric: str) -> str:
    """Hash of the benchmark behind a run's metric; equal for runs that differ in seed or in the tracked code.

    Parameters
    ----------
    metric
        Name in the rows, or a column of costs.
    """
    from mfbench.benchmarks.harness.prepare import task_of

    parts = {name: value for name, value in run.identity.items() if name not in TRACKED_PARTS and value is not None}
    observables = parts.pop("observables")
    owner = declaring(metric)
    given = run.spec.settings  # as the preset has them: the defaults beneath are tracked
    measurement = None if owner is None else observables[owner.name]
    return digest(
        {**parts, "given": dict(given), "observable": measurement, "task_code": _code(type(task_of(run.spec)))}
    )


@cache
def _code(task: type) -> str:
    return source_hash([Path(inspect.getfile(task))])
