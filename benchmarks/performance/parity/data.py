"""The frames of the comparison, and the file that carries them to each contender's interpreter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Labelled

_PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class ParityData:
    """Frames to train on, to select on, and to be scored on."""

    training: Labelled
    validation: Labelled
    test: Labelled

    def save(self, path: Path) -> None:
        """Write all parts to one NumPy archive."""
        arrays: dict[str, np.ndarray] = {}
        for part in _PARTS:
            labelled: Labelled = getattr(self, part)
            arrays[f"{part}_n_atoms"] = np.array([len(a) for a in labelled.frames])
            arrays[f"{part}_numbers"] = np.concatenate([a.numbers for a in labelled.frames])
            arrays[f"{part}_positions"] = np.concatenate([a.positions for a in labelled.frames])
            arrays[f"{part}_energies"] = np.asarray(labelled.energies, dtype=np.float64)
            arrays[f"{part}_forces"] = np.concatenate(labelled.forces)
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> ParityData:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{part: _read(archive, part) for part in _PARTS})

    def sha256(self) -> str:
        """Hash of all geometries and labels, in order."""
        digest = hashlib.sha256()
        for part in _PARTS:
            labelled: Labelled = getattr(self, part)
            for atoms, force in zip(labelled.frames, labelled.forces, strict=True):
                digest.update(atoms.numbers.tobytes() + atoms.positions.tobytes() + force.tobytes())
            digest.update(labelled.energies.tobytes())
        return digest.hexdigest()


def _read(archive: np.lib.npyio.NpzFile, part: str) -> Labelled:
    ends = np.cumsum(archive[f"{part}_n_atoms"])[:-1]
    numbers = np.split(archive[f"{part}_numbers"], ends)
    positions = np.split(archive[f"{part}_positions"], ends)
    return Labelled(
        frames=[Atoms(z, r) for z, r in zip(numbers, positions, strict=True)],
        energies=archive[f"{part}_energies"],
        forces=np.split(archive[f"{part}_forces"], ends),
    )


def h2co_frames(n_training: int, draw: int) -> ParityData:
    """CCSD(T)-F12 energies and forces of H2CO, split as the task `h2co` splits them.

    Parameters
    ----------
    n_training
        Training frames; validation (100) and test frames (1000) are the task's.
    draw
        Which training and validation frames; the test frames are the same for every draw.
    """
    from mfbench.benchmarks.tasks.base import Regime
    from mfbench.benchmarks.tasks.h2co.task import H2CO
    from mfbench.mfcore.data.frames import energy_of, forces_of

    task = H2CO()
    split = task.split(Regime(n_low=1, n_high=n_training, labels="low=EF,high=EF", coverage="full"), draw)

    def labelled(frames: list[Atoms]) -> Labelled:
        return Labelled(
            frames=[Atoms(a.numbers, a.positions) for a in frames],
            energies=np.array([energy_of(a, task.high) for a in frames]),
            forces=[forces_of(a, task.high) for a in frames],
        )

    return ParityData(
        training=labelled(list(split.training.train[task.high])),
        validation=labelled(list(split.training.validation)),
        test=labelled([a for frames in split.tests.values() for a in frames]),
    )
