"""Memory that a run is expected to take: it grows with the atoms of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfbench.mfcore.cores.registry import core_class, core_names

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.prepare import PlannedRun

BASE_BYTES = 450e6
"""Of a process with torch and a small task, while it trains."""

_CHANNELS = 32
"""Those with which :attr:`mfbench.mfcore.core.Core.bytes_per_atom` is measured."""


def bytes_per_atom(core: str) -> float:
    """Peak of a training step for each atom of a batch; 0 for a core that is not known or was not measured.

    Measured on molecules of 9 atoms (`results/performance/speed.json`, the smaller value, rounded down); in crystals,
    with more neighbours, it is more.
    """
    return core_class(core).bytes_per_atom if core in core_names() else 0.0


def expected_memory(run: PlannedRun) -> int:
    """Memory that a run takes at least, bytes; 0 where nothing was measured of its core."""
    core = run.identity.get("core")
    each = 0.0 if core is None else bytes_per_atom(core["name"])
    if not each:
        return 0
    width = run.settings["core"].get("channels")
    share = min(1.0, width / _CHANNELS) if isinstance(width, int) else 1.0
    return round(BASE_BYTES + _atoms_of_a_batch(run) * share * each)


def _atoms_of_a_batch(run: PlannedRun) -> float:
    """Atoms of the largest batch: those of the largest frame at least, and of all frames at most."""
    from mfbench.benchmarks.harness.prepare import split_of
    from mfbench.mfcore.training.config import TrainingConfig

    split, config = split_of(run.spec), TrainingConfig.model_validate(run.settings["training"])
    training = split.ceiling if run.spec.all_high else split.training
    sizes = [len(frame) for frames in training.train.values() for frame in frames]
    if config.batch_frames is not None:
        wanted = config.batch_frames * sum(sizes) / len(sizes)
    else:
        wanted = float(config.atoms_per_batch or 0)
    return max(max(sizes), min(wanted, sum(sizes)))
