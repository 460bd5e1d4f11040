"""Checks of one frame: a geometry that can be, and labels of the right type, shape and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.mfcore.data.frames import full_stress, key_of, prefixes
from mfbench.mfcore.data.label_keys import numbers
from mfbench.mfcore.data.periodic import LARGEST_LENGTH, cell_problem, coincident
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label

FloatArray = NDArray[np.float64]

#: Absolute values of labels that no level of theory gives: eV per atom, eV/Å, eV/Å³ (or kbar, which is told later).
LARGEST = {Label.ENERGY: 1e7, Label.FORCES: 1e6, Label.STRESS: 1e6}
_UNIT = {Label.ENERGY: "eV per atom", Label.FORCES: "eV/Å", Label.STRESS: "eV/Å³"}
_ASYMMETRY_LIMIT = 1e-4  # eV/Å³; codes print stress to about this many digits


def check_geometry(atoms: Atoms, *, file: str | Path | None = None, index: int | None = None) -> None:
    """Refuse a frame whose atoms or cell cannot be.

    Raises
    ------
    DataError
        Naming file, frame and key: as :func:`check_numbers`, or two atoms at one place.
    """
    check_numbers(atoms, file=file, index=index)
    if pair := coincident(atoms):
        i, j, distance = pair
        which = f"atom {i} and its periodic image are" if i == j else f"atoms {i} and {j} are"
        problem, hint = f"{which} at one place ({distance:.3g} Å apart).", "Remove one, or mend the positions."
        raise DataError(problem, file=file, frame=index, key="pos", hint=hint)


def check_numbers(atoms: Atoms, *, file: str | Path | None = None, index: int | None = None) -> None:
    """Refuse a frame of which a number cannot be, so that neighbour lists of it can be made.

    Raises
    ------
    DataError
        Naming file, frame and key: no atom; a position that is not finite or beyond `LARGEST_LENGTH`; an unknown
        element; a cell that cannot be (see :func:`cell_problem`).
    """

    def fault(problem: str, key: str | None = None, hint: str | None = None) -> DataError:
        return DataError(problem, file=file, frame=index, key=key, hint=hint)

    if len(atoms) == 0:
        raise fault("the frame has no atom.")
    if not np.isfinite(atoms.positions).all():
        raise fault("a position is not a finite number.", "pos")
    if (largest := float(np.abs(atoms.positions).max())) > LARGEST_LENGTH:
        raise fault(f"a coordinate of {largest:.3g} Å.", "pos", "Give positions in Å.")
    if (atoms.numbers < 1).any():
        raise fault("an element is unknown (symbol 'X' or atomic number 0).", "species")
    if problem := cell_problem(atoms):
        raise fault(problem[0], "Lattice", problem[1])


def check_all_numbers(frames: Sequence[Atoms]) -> None:
    """Refuse frames as :func:`check_numbers` does; all are looked at together, which small molecules have faster.

    Raises
    ------
    DataError
        As :func:`check_numbers`, for the first faulty frame.
    """
    if not frames:
        return
    largest = np.abs(np.concatenate([a.positions for a in frames])).max(initial=0.0)  # NaN where any is
    numbers_right = np.concatenate([a.numbers for a in frames]).min(initial=1) >= 1
    cells_finite = np.isfinite(np.array([a.cell.array for a in frames])).all()
    if largest <= LARGEST_LENGTH and numbers_right and cells_finite and all(len(a) for a in frames):
        doubtful = [number for number, a in enumerate(frames) if a.pbc.any()]
    else:
        doubtful = list(range(len(frames)))
    for number in doubtful:
        check_numbers(frames[number], index=number)


def check_finite(atoms: Atoms, energy: float, forces: FloatArray | None, index: int | None = None) -> None:
    """Refuse a prediction that is no number, with what may be the reason.

    Raises
    ------
    DataError
        Naming the frame, and two atoms if they are at one place.
    """
    if np.isfinite(energy) and (forces is None or bool(np.isfinite(forces).all())):
        return
    check_geometry(atoms, index=index)
    raise DataError(
        "the predicted energy or forces are not finite numbers.",
        frame=index,
        hint="Are atoms far closer than in any training frame, or are weights damaged?",
    )


def check_all_finite(frames: Sequence[Atoms], energies: FloatArray, forces: Sequence[FloatArray] | None) -> None:
    """Refuse predictions of frames as :func:`check_finite` does, the first that is no number by its frame.

    Parameters
    ----------
    energies
        (frames,) eV.
    forces
        By frame, (atoms, 3) eV/Å; None if they were not asked for.
    """
    if np.isfinite(energies).all() and (not forces or np.isfinite(np.concatenate(forces)).all()):
        return
    for number, atoms in enumerate(frames):
        check_finite(atoms, float(energies[number]), None if forces is None else forces[number], number)


def validate_frame(
    atoms: Atoms,
    *,
    file: str | Path | None = None,
    index: int | None = None,
    spelled: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Check one frame and put its labels in canonical form (labels that are all NaN are removed), in place.

    Parameters
    ----------
    file, index
        What errors name.
    spelled
        Keys of labels as the file has them, by key, for errors; a key that is not there is that of the file.

    Returns
    -------
    dict
        Keys of labels that were taken off since they are none, and what they are: "zero" (the stress of a molecule) or
        "NaN" (throughout).

    Raises
    ------
    DataError
        See :func:`check_geometry` and :func:`mfbench.mfcore.data.read.read_frames`.
    """
    check_geometry(atoms, file=file, index=index)
    dropped: dict[str, str] = {}
    for name in prefixes(atoms):
        for label, shape in {Label.ENERGY: (), Label.FORCES: (len(atoms), 3), Label.STRESS: (3, 3)}.items():
            store: dict[str, Any] = atoms.arrays if label is Label.FORCES else atoms.info
            key = key_of(name, label)
            if key in store:
                values = _label_values(
                    atoms, store[key], label, shape, DataErrorAt(file, index, (spelled or {}).get(key, key))
                )
                if values is None:
                    del store[key]  # a missing label has one form from here on: absent
                    dropped[key] = "NaN"
                elif label is Label.STRESS and not atoms.pbc.any() and not values.any():
                    del store[key]
                    dropped[key] = "zero"
                else:
                    store[key] = float(values) if label is Label.ENERGY else np.array(values)
    return dropped


class DataErrorAt:
    """Makes the errors of one label: file, frame and key are known."""

    def __init__(self, file: str | Path | None, frame: int | None, key: str) -> None:
        self.file, self.frame, self.key = file, frame, key

    def __call__(self, problem: str, hint: str | None = None) -> DataError:
        """Return the error."""
        return DataError(problem, file=self.file, frame=self.frame, key=self.key, hint=hint)


def _label_values(
    atoms: Atoms, raw: Any, label: Label, shape: tuple[int, ...], fault: DataErrorAt
) -> FloatArray | None:
    """Return the numbers of a label; None if they are all NaN."""
    try:
        values = numbers(raw)
    except (TypeError, ValueError):
        raise fault(f"found {str(raw)[:40]!r}; expected numbers.") from None
    if label is Label.STRESS:
        values = full_stress(values)
    if values.shape != shape:
        raise fault(f"shape {values.shape}, expected {shape}.")
    if np.isnan(values).all():
        return None
    if not np.isfinite(values).all():
        raise fault(
            f"{int((~np.isfinite(values)).sum())} of {values.size} numbers are NaN or infinite.",
            "Give the whole label, or none (absent, or NaN throughout).",
        )
    largest = float(np.abs(values).max()) / (len(atoms) if label is Label.ENERGY else 1)
    if largest > LARGEST[label]:
        raise fault(f"found {largest:.3g} {_UNIT[label]}, which no calculation gives.", "Another unit, or damaged?")
    if label is Label.STRESS and values.any():
        if not atoms.pbc.any() or abs(np.linalg.det(atoms.cell.array)) < 1e-6:
            raise fault("a stress on a frame that is not periodic.", "Drop it, or give pbc and cell.")
        if np.abs(values - values.T).max() > _ASYMMETRY_LIMIT * max(1.0, float(np.abs(values).max())):
            raise fault("the stress is not symmetric; expected (3, 3) or Voigt xx yy zz yz xz xy.")
    return values
