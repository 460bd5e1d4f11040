"""Relaxation of atoms and cell by ASE, where a failure is an answer and not an exception."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mfbench.mfcore.data.structures import Frame, as_frames, structure_of
from mfbench.mfcore.data.validation import check_geometry
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.potentials.cell_filter import LogarithmicCell

LARGEST_VOLUME_RATIO = 1.5
"""A cell that has grown or shrunk by more than this has exploded or collapsed."""

LARGEST_FORCE = 100.0
"""eV/Å; what is beyond is a collision of atoms."""


@dataclass(frozen=True)
class Relaxation:
    """Where a relaxation ended.

    Attributes
    ----------
    atoms
        The last geometry, without a calculator or labels.
    energy_ev
        Its energy in eV; NaN if the relaxation failed.
    steps
        How many were taken.
    problem
        Why it failed; "" if it did not.
    last_energy_ev
        Energy of the last geometry in eV, also where the steps were not enough; NaN where it failed otherwise.
    """

    atoms: Atoms
    energy_ev: float
    steps: int
    problem: str = ""
    last_energy_ev: float = float("nan")

    @property
    def converged(self) -> bool:
        """Say whether the forces are as small as was asked for."""
        return not self.problem

    @property
    def structure(self) -> Any:
        """The last geometry as pymatgen's Structure, or Molecule where no direction is periodic."""
        return structure_of(self.atoms)


def relax(
    atoms: Frame,
    calculator: Calculator,
    *,
    fmax: float = 0.01,
    max_steps: int = 500,
    fixed_volume: bool = False,
    fixed_cell: bool = False,
    fire: bool = False,
    largest_force: float = LARGEST_FORCE,
    largest_volume_ratio: float = LARGEST_VOLUME_RATIO,
) -> Relaxation:
    """Relax the atoms and, if they are periodic in all directions, the cell; slabs and wires keep theirs.

    BFGS with a line search; where that has no direction downhill (single precision has its noise), FIRE goes on. The
    cell's variables are the deformation gradient (`UnitCellFilter`): with the small strains here it takes the steps
    of :class:`mfbench.mfcore.potentials.cell_filter.LogarithmicCell`, which takes longer.

    It has failed when an energy, a force or a position is not finite, a force is beyond `largest_force`, the volume
    has changed by more than `largest_volume_ratio`, or `max_steps` were not enough.

    Parameters
    ----------
    atoms
        Start, `ase.Atoms` or a structure, molecule or computed structure entry of pymatgen; not changed.
    calculator
        Energy, forces, and for periodic atoms stress.
    fmax
        eV/Å; converged when the force on no atom is larger, and no row of the virial divided by the number of atoms (in
        eV; 0.01 eV is 0.13 GPa where an atom has 12 Å³).
    max_steps
        Most steps of both optimizers together.
    fixed_volume
        Relax the shape of the cell at constant volume.
    fixed_cell
        Relax the atoms alone.
    fire
        FIRE from the start, with the variables of `FrechetCellFilter`, as Matbench Discovery's models are relaxed.
    largest_force, largest_volume_ratio
        eV/Å, and the factor by which the volume may change.

    Raises
    ------
    DataError
        If the start cannot be (see :func:`mfbench.mfcore.data.validation.check_geometry`).
    """
    how = How(fmax, max_steps, fixed_volume, fixed_cell, fire, largest_force, largest_volume_ratio)
    start = started(atoms)
    with quiet():
        return relaxed(start, calculator, how)


@dataclass(frozen=True)
class How:
    """Settings of a relaxation, as for :func:`relax`."""

    fmax: float = 0.01
    max_steps: int = 500
    fixed_volume: bool = False
    fixed_cell: bool = False
    fire: bool = False
    largest_force: float = LARGEST_FORCE
    largest_volume_ratio: float = LARGEST_VOLUME_RATIO


def started(frame: Frame) -> Atoms:
    """Copy the start of a relaxation, without labels.

    Raises
    ------
    DataError
        If it cannot be.
    """
    (atoms,) = as_frames(frame)
    check_geometry(atoms)
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what the line search prints and warns of: it divides by differences that vanish, and checks that."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def relaxed(moving: Atoms, calculator: Any, how: How) -> Relaxation:
    """Relax atoms in place, see :func:`relax`; the caller has made it :func:`quiet`."""
    from ase.filters import UnitCellFilter
    from ase.optimize import FIRE, BFGSLineSearch

    moving.calc = _Checked(calculator)
    periodic = bool(moving.pbc.all())
    start = moving.get_volume() if periodic else None
    movable = periodic and not how.fixed_cell
    filtered: Any = (lambda same: same) if not movable else LogarithmicCell if how.fire else UnitCellFilter
    if movable and how.fixed_volume:  # exact with the logarithm of the deformation gradient only
        filtered = partial(LogarithmicCell, constant_volume=True)
    steps, problem = 0, f"not converged in {how.max_steps} steps"
    methods: tuple[Any, ...] = (FIRE,) if how.fire else (BFGSLineSearch, FIRE)  # their annotations know no filters
    for method in methods:
        optimizer = method(filtered(moving), logfile=None)
        try:
            for converged in optimizer.irun(fmax=how.fmax, steps=how.max_steps - steps):
                if failure := _failure(moving, start, how.largest_force, how.largest_volume_ratio):
                    raise _Failed(failure)
                if converged:
                    problem = ""
            steps += optimizer.nsteps
            break
        except _Failed as failed:
            moving.calc = None
            return Relaxation(moving, float("nan"), steps + optimizer.nsteps, str(failed))
        except RuntimeError as error:
            if "LineSearch" not in str(error):
                raise
            steps += optimizer.nsteps
        finally:
            optimizer.close()  # older ASE opens a file for nothing
    last = float(moving.get_potential_energy())
    moving.calc = None
    return Relaxation(moving, float("nan") if problem else last, steps, problem, last)


class _Failed(Exception):
    """A relaxation that nothing can come of any more; the message is the reason."""


class _Checked(Calculator):
    """Calculator whose answers are asked for all at once, with an end where one is no number."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, calculator: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calculator = calculator

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy, forces and stress; called by ASE."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        assert isinstance(self.atoms, Atoms)
        if not (np.isfinite(self.atoms.positions).all() and np.isfinite(self.atoms.cell.array).all()):
            raise _Failed("a position is not finite")
        wanted = ["energy", "forces", *(["stress"] if self.atoms.pbc.all() else [])]
        try:
            self.calculator.calculate(self.atoms, wanted, system_changes)
        except DataError as error:  # atoms that met on the way
            raise _Failed(f"energy, forces or stress are not finite: {error}") from None
        self.results = dict(self.calculator.results)
        if not all(np.isfinite(self.results[name]).all() for name in wanted):
            raise _Failed("energy, forces or stress are not finite")


def _failure(atoms: Atoms, start: float | None, largest_force: float, largest_volume_ratio: float) -> str:
    """Why a geometry on the way is the end; "" if it is not. `start` is the volume at the start in Å³."""
    if np.abs(atoms.get_forces()).max() > largest_force:
        return f"a force is beyond {largest_force:g} eV/Å"
    if start is not None:
        ratio = atoms.get_volume() / start
        if not 1.0 / largest_volume_ratio < ratio < largest_volume_ratio:
            return f"the volume is {ratio:.2g} times that of the start"
    return ""
