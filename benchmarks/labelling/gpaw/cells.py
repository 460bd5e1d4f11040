"""Parts of the sampling of both crystal tasks: strain, displacements, relaxation, the loop that collects frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

SAMPLING_SEED = 20261121

FMAX_EV_PER_A = 0.005
MAX_STEPS = 1000

Made = tuple[Atoms, dict[str, Any]]


def disturbed(
    atoms: Atoms, generator: np.random.Generator, *, strain: float, sigma: np.ndarray, closest: float
) -> Atoms | None:
    """Strain a cell and displace its atoms.

    Parameters
    ----------
    atoms
        Changed in place.
    generator
        Source of all random numbers.
    strain
        Standard deviation of the entries of the strain tensor, which is then made symmetric.
    sigma
        (n,) Å, standard deviation of each atom's displacement along each axis.
    closest
        Å.

    Returns
    -------
    Atoms or None
        None if two atoms are closer than `closest`.
    """
    tensor = generator.normal(0, strain, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (tensor + tensor.T) / 2), scale_atoms=True)
    atoms.positions += generator.normal(0, 1, atoms.positions.shape) * sigma[:, None]
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
    return atoms if distances.min() > closest else None


def collect(
    prefix: str, make: Callable[[np.random.Generator], Made | None], count: int, stream: tuple[int, ...] = ()
) -> list[Atoms]:
    """Make frames until there are `count`; attempt n has the generator (seed, *stream, n), whatever earlier ones gave.

    The structure_id of a frame has the number of its attempt, and its `info` what `make` says of it.
    """
    frames: list[Atoms] = []
    attempt = 0
    while len(frames) < count:
        made = make(np.random.default_rng([SAMPLING_SEED, *stream, attempt]))
        if made is not None:
            atoms, info = made
            plain = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
            plain.wrap()
            plain.info = {"structure_id": f"{prefix}-{attempt:04d}"} | info
            frames.append(plain)
        attempt += 1
    return frames


def relaxed(atoms: Atoms, potential: Potential, *, fixed_volume: bool = False) -> Atoms:
    """Relax positions and cell, or at fixed volume positions and shape, to `FMAX_EV_PER_A`.

    Raises
    ------
    DataError
        If that fails: the potential is too weak.
    """
    from mfbench.mfcore.potentials.relax import relax

    found = relax(atoms, potential.calculator(), fmax=FMAX_EV_PER_A, max_steps=MAX_STEPS, fixed_volume=fixed_volume)
    if not found.converged:
        raise DataError(
            f"{atoms.symbols}: {found.problem}.",
            hint="Label more frames before geometries are relaxed with a potential that learnt them.",
        )
    return found.atoms
