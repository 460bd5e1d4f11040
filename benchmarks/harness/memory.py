"""Memory that a run is expected to take: it grows with the atoms of a batch."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.benchmarks.tasks.base import Task

BASE_BYTES = 450e6
"""Of a process with torch and a small task, while it trains."""

_CHANNELS = 32


def bytes_per_atom(core: str) -> float:
    """Peak of a training step for each atom of a batch; 0 for a core that is not known or was not measured.

    Measured on molecules of 9 atoms (`results/performance/speed.json`, the smaller value, rounded down); in crystals,
    with more neighbours, it is more.
    """
    from mfbench.mfcore.cores.registry import core_class, core_names

    return core_class(core).bytes_per_atom if core in core_names() else 0.0


def expected_memory(run: PlannedRun) -> int:
    """Memory that a run takes at least, bytes; 0 where nothing was measured of its core."""
    from mfbench.benchmarks.harness.prepare import task_of

    core = run.identity.get("core")
    each = 0.0 if core is None else bytes_per_atom(core["name"])
    if not each:
        return 0
    width = run.settings["core"].get("channels")
    share = min(1.0, width / _CHANNELS) if isinstance(width, int) else 1.0
    atoms = _atoms_of_a_batch(run.settings["training"], *_atoms(task_of(run.spec)))
    return round(BASE_BYTES + atoms * share * each)


def _atoms_of_a_batch(training: dict[str, Any], mean: float, largest: int) -> float:
    from mfbench.mfcore.training.config import TrainingConfig

    config = TrainingConfig.model_validate(training)
    whole = config.batch_frames * mean if config.batch_frames is not None else float(config.atoms_per_batch or 0)
    return max(float(largest), whole)


@lru_cache(maxsize=8)
def _atoms(task: Task) -> tuple[float, int]:
    """Atoms of a frame of a task: the mean, and of the largest."""
    sizes = [len(frame) for frame in task.frames]
    return sum(sizes) / len(sizes), max(sizes)
