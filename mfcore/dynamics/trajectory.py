"""Trajectories on disk: one extended-XYZ file a replica, unwrapped positions, up to the end of the replica.

A file grows while the simulation runs, so it is not written whole and renamed as others are; a checkpoint knows its
size in bytes, and a run that goes on cuts the file back to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mfbench.mfcore.dynamics.results import DynamicsRun
from mfbench.mfcore.errors import DataError

_MOST_PENDING = 256


class TrajectoryWriter:
    """Appends frames of several replicas to their files.

    Parameters
    ----------
    folder
        Where the files go.
    sizes
        By replica, the size in bytes that its file has in the state that is gone on from; what is beyond is cut off.
    replicas
        Numbers of all replicas.
    """

    def __init__(self, folder: Path, sizes: Mapping[int, int], replicas: Sequence[int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = {r: folder / f"replica-{r:05d}.extxyz" for r in replicas}
        self.sizes = {r: sizes.get(r, 0) for r in replicas}
        self._pending: dict[int, list[str]] = {}
        self._count = 0
        for replica, path in self.paths.items():
            there = path.stat().st_size if path.exists() else 0
            if there < self.sizes[replica]:
                raise DataError(
                    f"{there} bytes, but the checkpoint beside it knows of {self.sizes[replica]}.",
                    file=path,
                    hint="Delete the folder to start anew.",
                )
            with path.open("ab") as stream:
                stream.truncate(self.sizes[replica])

    def add(self, replica: int, atoms: Atoms, positions: np.ndarray, time_ps: float) -> None:
        """Append a frame: elements and cell of `atoms`, positions (n, 3) Å."""
        head = f'pbc="{" ".join("T" if p else "F" for p in atoms.pbc)}" time_ps={time_ps!r}'
        if atoms.pbc.any():
            head = f'Lattice="{" ".join(repr(float(x)) for x in atoms.cell.array.ravel())}" ' + head
        rows = [
            f"{symbol:<2s} {x:16.8f} {y:16.8f} {z:16.8f}"
            for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), positions.tolist(), strict=True)
        ]
        text = "\n".join([str(len(atoms)), f"Properties=species:S:1:pos:R:3 {head}", *rows, ""])
        self._pending.setdefault(replica, []).append(text)
        self._count += 1
        if self._count >= _MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Bring what was added to the files; `sizes` is then true of them."""
        for replica, texts in self._pending.items():
            content = "".join(texts).encode()
            with self.paths[replica].open("ab") as stream:
                stream.write(content)
            self.sizes[replica] += len(content)
        self._pending, self._count = {}, 0


@dataclass(frozen=True)
class Trajectory:
    """Positions of one replica in time.

    Attributes
    ----------
    numbers
        (n,) atomic numbers.
    cell, periodic
        (3, 3) Å, and whether it repeats.
    time_ps
        (T,) ps.
    positions
        (T, n, 3) Å, unwrapped.
    pbc
        Which lattice vectors repeat; None if all do that `periodic` says.
    """

    numbers: np.ndarray
    cell: np.ndarray
    periodic: bool
    time_ps: np.ndarray
    positions: np.ndarray
    pbc: tuple[bool, bool, bool] | None = None

    @property
    def volume(self) -> float:
        """Å³."""
        return float(abs(np.linalg.det(self.cell)))

    def frames(self) -> Iterator[Atoms]:
        """Each record as a frame."""
        for positions in self.positions:
            yield Atoms(self.numbers, positions, cell=self.cell, pbc=self.pbc or self.periodic)


def read_trajectory(path: Path) -> Trajectory:
    """Read what a simulation wrote.

    Raises
    ------
    DataError
        If the file is missing or holds no frame.
    """
    from ase.io import iread

    if not path.exists() or not path.stat().st_size:
        raise DataError("no trajectory here.", file=path)
    frames = list(iread(path, format="extxyz"))
    return Trajectory(
        numbers=np.asarray(frames[0].numbers),
        cell=np.asarray(frames[0].cell.array),
        periodic=bool(frames[0].pbc.any()),
        time_ps=np.array([float(a.info["time_ps"]) for a in frames]),
        positions=np.stack([a.positions for a in frames]),
        pbc=(bool(frames[0].pbc[0]), bool(frames[0].pbc[1]), bool(frames[0].pbc[2])),
    )


def survivors(run: DynamicsRun) -> dict[int, Trajectory]:
    """Trajectories of the replicas that reached the limit, by number.

    What a failed replica did before its failure is already on the way there, so no observable is taken from it.
    """
    return {
        r.replica: read_trajectory(run.trajectories[r.replica])
        for r in run.with_status("survived")
        if r.replica in run.trajectories
    }
