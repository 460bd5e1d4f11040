"""Elastic moduli of a crystal by a calculator: relaxed, strained, its atoms relaxed again, and the stresses fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from mfbench.mfcore.metrics.elasticity import ElasticModuli, elastic_moduli, small_strains
from mfbench.mfcore.potentials.relax import How, relax
from mfbench.mfcore.potentials.relax_many import relax_many


def moduli_of(
    atoms: Atoms, calculator: Calculator, amounts: Sequence[float], *, fmax: float, max_steps: int
) -> tuple[ElasticModuli | None, str]:
    """Measure the elastic moduli of a crystal.

    Parameters
    ----------
    atoms
        Periodic in all directions; not changed.
    calculator
        Energy, forces and stress.
    amounts
        Entries of the strain tensor, of both signs; each of its six components takes each of them.
    fmax, max_steps
        Of the relaxation of atoms and cell, and of the atoms alone in each strained cell; eV/Å.

    Returns
    -------
    tuple
        The moduli, None where a relaxation failed or the crystal is not stable; and the reason, "" if there is none.
    """
    ground = relax(atoms, calculator, fmax=fmax, max_steps=max_steps)
    if not ground.converged:
        return None, ground.problem
    strains = small_strains(amounts)
    cells = []
    for strain in strains:
        cells.append(ground.atoms.copy())
        cells[-1].set_cell(ground.atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    relaxed = dict(relax_many(cells, calculator, How(fmax, max_steps, fixed_cell=True)))
    stresses = []
    for number in range(len(strains)):
        if not relaxed[number].converged:
            return None, f"strained: {relaxed[number].problem}"
        relaxed[number].atoms.calc = calculator
        stresses.append(relaxed[number].atoms.get_stress(voigt=False))
    moduli = elastic_moduli(strains, stresses)
    if not moduli.stable:
        return None, f"a strain costs no energy (least eigenvalue {moduli.least_eigenvalue_gpa:.3g} GPa)"
    return moduli, ""
