"""Atoms and cell as the variables of an optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from numpy.typing import NDArray


class LogarithmicCell(FrechetCellFilter):
    """ASE's `FrechetCellFilter`, whose matrix functions take several times as long as a small network.

    Variables and forces are the same, but for a constant of the variables. The gradient of E by the logarithm L of the
    deformation gradient is one Fréchet derivative, of the exponential at Lᵀ in the direction of the gradient by exp(L)
    (it is adjoint to that at L; Higham, Functions of Matrices, 2008, section 3.2), where ASE takes one for each of nine
    entries; L is what it was set to, and no logarithm of a matrix; forces are kept until the next step.

    The atoms must not be changed but by this filter.

    Parameters
    ----------
    atoms
        With a calculator.
    constant_volume
        Change the shape of the cell alone.
    """

    def __init__(self, atoms: Atoms, constant_volume: bool = False) -> None:
        super().__init__(atoms, constant_volume=constant_volume)  # type: ignore[no-untyped-call]
        self._constant_volume = constant_volume
        self._variables: NDArray[np.float64] = np.concatenate([atoms.get_positions(), np.zeros((3, 3))])
        self._start = atoms.cell.array.copy()
        self._log, self._gradient = np.zeros((3, 3)), np.eye(3)
        self._forces: NDArray[np.float64] | None = None

    def get_positions(self) -> NDArray[np.float64]:
        """Positions in the undeformed cell in Å, and L times the number of atoms, (atoms + 3, 3)."""
        return self._variables.copy()

    def set_positions(self, new: NDArray[np.float64], **_: Any) -> None:  # type: ignore[override] # as in ASE
        """Set them."""
        from scipy.linalg import expm

        n = len(self.atoms)
        self._variables, self._forces = np.array(new, dtype=np.float64), None
        self._log = self._variables[n:] / self.exp_cell_factor
        self._gradient = expm(self._log)
        self.atoms.set_cell(self._start @ self._gradient.T, scale_atoms=False)
        self.atoms.set_positions(self._variables[:n] @ self._gradient.T)

    def get_forces(self, **_: Any) -> NDArray[np.float64]:
        """Negative gradient of the energy by the variables, (atoms + 3, 3), eV/Å and eV."""
        from scipy.linalg import expm_frechet

        if self._forces is None:
            volume = self.atoms.get_volume()
            stress = voigt_6_to_full_3x3_stress(self.atoms.get_stress())
            by_gradient = -volume * np.linalg.solve(self._gradient, stress).T
            by_log = expm_frechet(self._log.T, by_gradient, compute_expm=False)
            if self._constant_volume:
                by_log -= np.trace(by_log) / 3.0 * np.eye(3)
                stress = stress - np.trace(stress) / 3.0 * np.eye(3)
            self.stress = full_3x3_to_voigt_6_stress(stress)
            on_atoms = self.atoms.get_forces() @ self._gradient
            self._forces = np.concatenate([on_atoms, by_log / self.exp_cell_factor])
        return self._forces.copy()
