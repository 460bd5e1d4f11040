"""Relaxation of many materials by the workers of an executor: chunks of them are jobs, each one is sent when done."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mfbench.benchmarks.discovery.materials import Material
from mfbench.benchmarks.discovery.relaxations import Relaxed, relaxed_here
from mfbench.benchmarks.harness.executors.base import Died, Executor, Job, Told
from mfbench.mfcore.potentials.potential import Potential, load

LARGEST_CHUNK = 20
"""Materials of a job."""

CHUNKS_A_WORKER = 8
"""Jobs for each worker, at least: at the end, most workers wait for the last ones."""


@dataclass(frozen=True)
class Model:
    """A potential for workers.

    Attributes
    ----------
    folder
        Of the potential, as an absolute path.
    fidelity
        As which it is asked.
    files
        Contents of the folder by name, for workers that do not see it; None: they do.
    """

    folder: Path
    fidelity: str
    files: Mapping[str, bytes] | None = None

    @classmethod
    def of(cls, folder: Path, fidelity: str, *, sent: bool = False) -> Model:
        """Make the model of a potential's folder; `sent` over the network, where workers do not see the folder."""
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()} if sent else None
        return cls(folder.resolve(), fidelity, files)

    def potential(self) -> Potential:
        """Load it; a process that has it loaded keeps it."""
        return _loaded(self.folder, None if self.files is None else tuple(sorted(self.files.items())))


@lru_cache(maxsize=1)
def _loaded(folder: Path, files: tuple[tuple[str, bytes], ...] | None) -> Potential:
    if files is None:
        return load(folder)
    with tempfile.TemporaryDirectory(prefix="mfbench-") as made:
        for name, content in files:
            (Path(made) / Path(name).name).write_bytes(content)
        return load(made)


@dataclass(frozen=True)
class Chunk:
    """Materials that one worker relaxes, one after the other, and how."""

    model: Model
    materials: tuple[Material, ...]
    settings: Mapping[str, Any]


def relax_chunk(chunk: Chunk, tell: Callable[[Any], None]) -> None:
    """Relax the materials of a chunk; each is told when it is done. The function of a job.

    One by one and in order, so that a lost worker tells which material it had.
    """
    model = chunk.model
    for line in relaxed_here(chunk.materials, model.potential(), model.fidelity, one_by_one=True, **chunk.settings):
        tell(line)


def relaxed_by(
    executor: Executor,
    workers: int,
    model: Model,
    materials: Sequence[Material],
    settings: Mapping[str, Any],
    lost: Callable[[str, str], None],
) -> Iterator[Relaxed]:
    """Relax materials on the workers of an executor; they come as they are done, each once.

    A lost worker takes along the material that it relaxes. The others of its chunk go to another worker, as far as they
    have not come yet.

    Parameters
    ----------
    workers
        About how many there are.
    settings
        `fmax` and `max_steps` of :func:`mfbench.benchmarks.discovery.relaxations.relaxed_here`.
    lost
        Told of a material that was lost with its worker, and the reason, without a full stop.
    """
    todo = list(materials)
    while todo:
        size = max(1, min(LARGEST_CHUNK, len(todo) // (CHUNKS_A_WORKER * max(1, workers))))
        left = [{m.id: m for m in todo[start : start + size]} for start in range(0, len(todo), size)]
        before, todo = len(todo), []
        for event in executor.run([_job(model, rest, settings) for rest in left]):
            if isinstance(event, Told) and left[event.job].pop(event.value.material_id, None) is not None:
                before -= 1
                yield event.value
            elif isinstance(event, Died) and (rest := list(left[event.job].values())):
                lost(rest[0].id, event.reason)
                todo += rest[1:]
        if len(todo) == before:
            break


def _job(model: Model, rest: Mapping[str, Material], settings: Mapping[str, Any]) -> Job:
    return Job(relax_chunk, fresh=lambda: Chunk(model, tuple(rest.values()), dict(settings)))
