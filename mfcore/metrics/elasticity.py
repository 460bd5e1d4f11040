"""Elastic stiffness from stresses of strained cells, and the moduli of a polycrystal, by pymatgen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Axes of the components of a strain, in Voigt's order."""


@dataclass(frozen=True)
class ElasticModuli:
    """Elasticity of a crystal.

    Attributes
    ----------
    stiffness_gpa
        (6, 6), symmetric, in Voigt's order xx yy zz yz xz xy.
    bulk_vrh_gpa, shear_vrh_gpa
        Averages of Voigt's and Reuss's bounds (R. Hill, Proc. Phys. Soc. A 65, 349, 1952).
    least_eigenvalue_gpa
        Of the stiffness; a crystal is mechanically stable where it is positive.
    """

    stiffness_gpa: Array
    bulk_vrh_gpa: float
    shear_vrh_gpa: float
    least_eigenvalue_gpa: float

    @property
    def stable(self) -> bool:
        """Say whether every strain costs energy."""
        return self.least_eigenvalue_gpa > 0.0


def small_strains(amounts: ArrayLike) -> Array:
    """Strains of one component each.

    Parameters
    ----------
    amounts
        Entries of the strain tensor; of both signs, so that what is quadratic cancels.

    Returns
    -------
    array
        (6 n, 3, 3), symmetric.
    """
    found = []
    for i, j in PAIRS:
        for amount in np.asarray(amounts, dtype=np.float64):
            strain = np.zeros((3, 3))
            strain[i, j] = strain[j, i] = amount
            found.append(strain)
    return np.array(found)


def elastic_moduli(strains: ArrayLike, stresses: ArrayLike) -> ElasticModuli:
    """Fit the stiffness to stresses, component by component, and average it.

    Parameters
    ----------
    strains
        (n, 3, 3), of one component each (:func:`small_strains`).
    stresses
        (n, 3, 3), eV/Å³, positive under tension as ASE has it.

    Raises
    ------
    ValueError
        If a strain or stress is not finite, or a component of the strain is missing.
    """
    from ase.units import GPa
    from pymatgen.analysis.elasticity.elastic import ElasticTensor
    from pymatgen.analysis.elasticity.strain import Strain
    from pymatgen.analysis.elasticity.stress import Stress

    strain, stress = np.asarray(strains, dtype=np.float64), np.asarray(stresses, dtype=np.float64) / GPa
    if strain.shape != stress.shape or strain.shape[1:] != (3, 3) or not np.isfinite([strain, stress]).all():
        raise ValueError("elasticity: expected finite strains and stresses of one shape (n, 3, 3).")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors that are not symmetric to the last digit
        fit = ElasticTensor.from_independent_strains([Strain(e) for e in strain], [Stress(s) for s in stress])
        stiffness = np.asarray(fit.voigt, dtype=np.float64)
        stiffness = (stiffness + stiffness.T) / 2
        least = float(np.linalg.eigvalsh(stiffness).min())
        tensor = ElasticTensor.from_voigt(stiffness)
        try:
            bulk, shear = float(tensor.k_vrh), float(tensor.g_vrh)
        except np.linalg.LinAlgError:  # a strain that costs nothing: Reuss's bound is zero over zero
            bulk = shear = float("nan")
    return ElasticModuli(stiffness, bulk, shear, least)
