"""Errors of energies, forces and stresses against reference labels; the unit is in each name.

Conventions of every function here:

- Inputs are eV, eV/Å and eV/Å³ and are read as float64.
- A NaN in the *reference* means "no such label": that entry is left out. `n_labelled` says over how many
  frames the score is; a reference without a single label is a `DataError`, not a score.
- A NaN in a *prediction* makes the score NaN, and an infinite one makes it infinite (NaN where a fit is
  involved). Nothing that a model predicted is ever skipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import units
from numpy.typing import ArrayLike, NDArray

from mfbench.mfcore.errors import DataError

Array = NDArray[np.float64]

MEV_PER_EV = 1000.0


def energy_mae_mev_per_atom(predicted: ArrayLike, reference: ArrayLike, n_atoms: ArrayLike) -> float:
    """Mean absolute energy error per atom, in meV/atom; every labelled frame weighs the same.

    Parameters
    ----------
    predicted, reference
        Total energies, shape (B,), eV.
    n_atoms
        Number of atoms of each frame, shape (B,).

    Raises
    ------
    ValueError
        If shapes differ, a reference is infinite or an atom count is not positive.
    DataError
        If no frame has a reference energy.
    """
    return _mean_absolute(MEV_PER_EV * _energy_errors_per_atom(predicted, reference, n_atoms))


def energy_rmse_mev_per_atom(predicted: ArrayLike, reference: ArrayLike, n_atoms: ArrayLike) -> float:
    """Root-mean-square energy error per atom, in meV/atom; arguments as `energy_mae_mev_per_atom`."""
    return _root_mean_square(MEV_PER_EV * _energy_errors_per_atom(predicted, reference, n_atoms))


def energy_detrended_mae_mev_per_atom(predicted: ArrayLike, reference: ArrayLike, compositions: ArrayLike) -> float:
    """Mean absolute energy error per atom that no shift of the E0 could remove, in meV/atom.

    The error per atom is fitted by least squares as a linear function of the composition fractions
    (equivalently: the total error by the element counts, each frame weighted by 1/n_atoms², no intercept),
    and the MAE of what is left is returned. With one stoichiometry throughout the counts are collinear; the
    minimum-norm solution is used, and what is removed is then the mean error per atom.

    Parameters
    ----------
    predicted, reference
        Total energies, shape (B,), eV.
    compositions
        Element counts, shape (B, n_elements), as from `mfbench.mfcore.data.reference_energies.composition`; rows sum to
        the number of atoms.

    Returns
    -------
    float
        NaN where the quantity is not defined: when the fit has as many independent compositions as there are
        labelled frames (always so with one frame, or with fewer frames than independent elements) it passes
        through every point and the zero that is left says nothing about the model.

    Raises
    ------
    ValueError
        If shapes differ, a reference is infinite or a composition is empty.
    DataError
        If no frame has a reference energy.
    """
    counts = np.asarray(compositions, dtype=np.float64)
    if counts.ndim != 2:
        raise ValueError(f"compositions: expected shape (frames, elements), got {counts.shape}.")
    n_atoms = counts.sum(axis=1)
    errors = _energy_errors_per_atom(predicted, reference, n_atoms)
    if not np.isfinite(errors).all():
        return float("nan")
    labelled = ~np.isnan(np.asarray(reference, dtype=np.float64))
    fractions = counts[labelled] / n_atoms[labelled, None]
    shift, _, rank, _ = np.linalg.lstsq(fractions, errors, rcond=None)
    if rank >= len(errors):
        return float("nan")
    return _mean_absolute(MEV_PER_EV * (errors - fractions @ shift))


def force_mae_mev_per_a(predicted: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> float:
    """Mean absolute error of the Cartesian force components, in meV/Å; every component weighs the same.

    Parameters
    ----------
    predicted, reference
        Forces of each frame, a sequence of B arrays of shape (n_i, 3), eV/Å.

    Raises
    ------
    ValueError
        If the number of frames or a frame's shape differs, or a reference is infinite.
    DataError
        If no frame has reference forces.
    """
    return _mean_absolute(MEV_PER_EV * _force_errors(predicted, reference))


def force_rmse_mev_per_a(predicted: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> float:
    """Root-mean-square error of the force components, in meV/Å; arguments as `force_mae_mev_per_a`."""
    return _root_mean_square(MEV_PER_EV * _force_errors(predicted, reference))


def stress_mae_gpa(predicted: ArrayLike, reference: ArrayLike) -> float:
    """Mean absolute error of the six independent stress components, in GPa; ASE's sign.

    Frames without a reference stress (molecules) may be predicted as NaN; they are not looked at.

    Parameters
    ----------
    predicted, reference
        Stress tensors, shape (B, 3, 3), eV/Å³.

    Raises
    ------
    ValueError
        If shapes differ or are not (B, 3, 3), or a reference is infinite.
    DataError
        If no frame has a reference stress.
    """
    first, second = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    for name, tensors in (("predicted", first), ("reference", second)):
        if tensors.ndim != 3 or tensors.shape[1:] != (3, 3):
            raise ValueError(f"{name} stress: expected shape (frames, 3, 3), got {tensors.shape}.")
    return _mean_absolute(_labelled_errors(_voigt(first), _voigt(second), "stress") / units.GPa)


def n_labelled(reference: Sequence[ArrayLike] | Array) -> int:
    """How many frames have a reference: the n that stands beside a score.

    Parameters
    ----------
    reference
        Energies (B,), stresses (B, 3, 3), or a sequence of B force arrays (n_i, 3); NaN: no label.
    """
    return sum(not np.isnan(np.asarray(label, dtype=np.float64)).all() for label in reference)


def _energy_errors_per_atom(predicted: ArrayLike, reference: ArrayLike, n_atoms: ArrayLike) -> Array:
    first = np.asarray(predicted, dtype=np.float64)
    second = np.asarray(reference, dtype=np.float64)
    atoms = np.asarray(n_atoms, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.shape != atoms.shape:
        raise ValueError(
            "energies and atom counts: expected three arrays of one shape (frames,), "
            f"got {first.shape}, {second.shape} and {atoms.shape}."
        )
    if not (atoms > 0).all():
        raise ValueError("atom counts: expected positive numbers.")
    return _labelled_errors(first / atoms, second / atoms, "energies", strict=True)


def _force_errors(predicted: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> Array:
    if len(predicted) != len(reference):
        raise ValueError(f"forces: {len(predicted)} predicted frames for {len(reference)} reference frames.")
    first = [np.asarray(f, dtype=np.float64) for f in predicted]
    second = [np.asarray(f, dtype=np.float64) for f in reference]
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3:
            raise ValueError(f"forces of frame {index}: expected two (atoms, 3) arrays, got {a.shape}, {b.shape}.")
    empty = [np.zeros((0, 3))]
    return _labelled_errors(np.concatenate(first or empty), np.concatenate(second or empty), "forces", strict=True)


def _labelled_errors(predicted: Array, reference: Array, label: str, strict: bool = False) -> Array:
    """Give flat predicted - reference where labelled; all NaN if `strict` and any prediction is NaN."""
    if np.isinf(reference).any():
        raise ValueError(f"reference {label}: a label is infinite; expected a number, or NaN for 'no label'.")
    labelled = ~np.isnan(reference)
    if not labelled.any():
        raise DataError(f"no frame has reference {label}, so there is nothing to score.")
    errors: Array = predicted[labelled] - reference[labelled]
    if strict and np.isnan(predicted).any():
        # A model that gives NaN for an unlabelled frame is as broken as with a labelled one.
        return np.full_like(errors, np.nan)
    return errors


def _voigt(tensors: Array) -> Array:
    """Take the six independent components (xx, yy, zz, yz, xz, xy) of symmetrised (B, 3, 3) tensors."""
    symmetric = 0.5 * (tensors + tensors.transpose(0, 2, 1))
    return np.asarray(symmetric[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], dtype=np.float64)


def _mean_absolute(errors: Array) -> float:
    return float(np.abs(errors).mean())


def _root_mean_square(errors: Array) -> float:
    with np.errstate(over="ignore"):  # an exploded model earns an infinite score
        return float(np.sqrt(np.square(errors).mean()))
