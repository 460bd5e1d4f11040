"""Geometries relaxed with a potential before they are labelled or used as starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from mfcore.errors import DataError

if TYPE_CHECKING:
    from mfcore.potential import Potential

FMAX_EV_PER_A = 0.005
MAX_STEPS = 1000


def relaxed(atoms: Atoms, potential: Potential, fixed_volume: bool = False) -> Atoms:
    """Relax positions and cell, or at fixed volume positions and shape.

    Raises
    ------
    DataError
        If it does not converge: the potential is too weak.
    """
    moving = atoms.copy()
    moving.calc = potential.calculator()
    optimizer = LBFGS(FrechetCellFilter(moving, constant_volume=fixed_volume), logfile=os.devnull)  # type: ignore[arg-type]
    if not optimizer.run(fmax=FMAX_EV_PER_A, steps=MAX_STEPS) or not np.isfinite(moving.positions).all():
        raise DataError(
            f"{moving.symbols}: not relaxed to {FMAX_EV_PER_A} eV/Å in {MAX_STEPS} steps.",
            hint="Label more frames before geometries are relaxed with a potential that learnt them.",
        )
    return Atoms(moving.numbers, positions=moving.positions, cell=moving.cell, pbc=True)
