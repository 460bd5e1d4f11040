"""Structures to time: a Li6PS5Cl-like crystal, alone, repeated and in batches, and batches of ethanol.

Untrained networks cost what trained ones do, so the structures need no labels; atoms are displaced at random, so that
no symmetry makes two distances equal. Like ``contenders``, this needs numpy, ase and scipy alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

#: Å; the workloads' numbers of edges are stated at this cutoff.
CUTOFF = 5.0

#: The workloads of the comparison and of the suites; others of the same forms are understood, see :func:`workload`.
WORKLOADS = ("crystal:52", "crystal:416", "crystal:4x52", "molecules:32")

_LATTICE = 9.86  # Å, near the room-temperature lattice constant of Li6PS5Cl
_RATTLE = 0.05  # Å, standard deviation of each coordinate
_SEED = 4  # its cell has 1442 edges, as the mean over seeds
_CELL = 52
_PRIMITIVE = 13


def argyrodite(seed: int = _SEED, repeat: Sequence[int] = (1, 1, 1), primitive: bool = False) -> Atoms:
    """Return a Li6PS5Cl-like crystal: 52 atoms per cell, F-43m with half of the Li sites (48h) filled.

    The sites of 48h lie in close pairs; one of each pair is taken at random, so that no two Li are too close.

    Parameters
    ----------
    seed
        Of the choice of sites, made anew in every cell, and of the displacements.
    repeat
        Cells along each axis; the density stays the same.
    primitive
        Use the primitive cell of 13 atoms.
    """
    from ase.spacegroup import crystal

    sites = [(0, 0, 0), (0, 0, 0.5), (0.25, 0.25, 0.25), (0.1198, 0.1198, 0.6198), (0.183, 0.183, 0.024)]
    cell = crystal(
        ["Cl", "P", "S", "S", "Li"],
        sites,
        spacegroup=216,
        cellpar=[_LATTICE] * 3 + [90] * 3,
        primitive_cell=primitive,
    )
    lithium = np.flatnonzero(cell.numbers == 3)
    framework = np.flatnonzero(cell.numbers != 3)
    distances = cell.get_all_distances(mic=True)[np.ix_(lithium, lithium)]
    np.fill_diagonal(distances, np.inf)
    partner = distances.argmin(1)
    pairs = np.array([(lithium[a], lithium[b]) for a, b in enumerate(partner) if a < b])
    rng = np.random.default_rng(seed)
    bare = Atoms(cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)
    whole = bare.repeat(tuple(repeat))
    kept = [
        np.concatenate([framework, pairs[np.arange(len(pairs)), rng.integers(2, size=len(pairs))]]) + n * len(bare)
        for n in range(int(np.prod(repeat)))
    ]
    atoms = whole[np.concatenate(kept)]
    atoms.positions += _RATTLE * rng.standard_normal(atoms.positions.shape)
    return atoms


def crystal_of(n_atoms: int, seed: int = _SEED) -> Atoms:
    """Return the crystal of about this many atoms: as nearly a cube of cells as there is, at the same density."""
    cells = max(1, round(n_atoms / _CELL))
    edge = max(1, int(np.floor(cells ** (1 / 3) + 1e-9)))
    options = [(edge + a, edge + b, edge + c) for a in (0, 1) for b in (0, 1) for c in (0, 1) if a <= b <= c]
    best = min(options, key=lambda repeat: abs(np.log(np.prod(repeat) / cells)))
    return argyrodite(seed, best)


def ethanols(n_frames: int, seed: int = 0) -> list[Atoms]:
    """Return displaced ethanol molecules, 9 atoms each, without periodic boundaries."""
    from ase.build import molecule

    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        atoms = molecule("CH3CH2OH")
        atoms.positions += _RATTLE * rng.standard_normal(atoms.positions.shape)
        frames.append(atoms)
    return frames


def workload(name: str) -> list[Atoms]:
    """Return the frames of one batch.

    Parameters
    ----------
    name
        "crystal:N" (one frame of about N atoms), "crystal:MxN" (M frames of N) or "molecules:M" (M ethanols).

    Raises
    ------
    ConfigError
        If the name has another form.
    """
    kind, _, size = name.partition(":")
    count, _, atoms = size.rpartition("x")
    digits = all(part.isdigit() and int(part) > 0 for part in (count or "1", atoms))
    if kind == "crystal" and digits:
        n_atoms, seeds = int(atoms), range(_SEED, _SEED + int(count or 1))
        if n_atoms <= _PRIMITIVE:
            return [argyrodite(seed, primitive=True) for seed in seeds]
        return [crystal_of(n_atoms, seed) for seed in seeds]
    if kind == "molecules" and digits and not count:
        return ethanols(int(atoms))
    from mfbench.mfcore.errors import ConfigError

    raise ConfigError(
        f"workload '{name}': expected crystal:ATOMS, crystal:FRAMESxATOMS or molecules:FRAMES, "
        f"for example {', '.join(WORKLOADS)}."
    )
