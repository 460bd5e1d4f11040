"""Per-species reference energies (E0) and the scale of a fidelity's labels.

E0 by per-fidelity least squares of the total energies on the element counts; see the policies in
`ReferencePolicy`. With fixed stoichiometry the counts are rank-deficient and the minimum-norm solution is
used: it is recorded, because single elements' values then mean nothing. Where another fidelity has isolated
atoms there is a better choice, see :mod:`mfbench.mfcore.data.nearest_references`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mfbench.mfcore.data.frames import energy_of, forces_of
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label, LabelSet

ReferencePolicy = Literal["least_squares", "isolated", "residual", "trainable"]


@dataclass(frozen=True)
class ReferenceEnergies:
    """E0 (eV) by species, with what is needed to judge them.

    Attributes
    ----------
    species
        Atomic numbers.
    values
        eV, in the order of `species`.
    policy
        How they were found.
    rank, n_frames
        Rank of the element counts and number of energies fitted; rank < number of species present means
        that several solutions fit: of them, that of least norm was taken, unless `nearest_to` says otherwise.
    isolated
        Species whose energies are those of isolated atoms, exactly.
    estimated
        Species that no label of this fidelity is about: the value of a cheaper fidelity and the mean shift per atom.
    unknown
        Those of them that no cheaper fidelity's labels are about either: the value means nothing.
    nearest_to
        Fidelity with isolated atoms to whose reference energies the solution is nearest of those that fit; "" for none.
    """

    species: tuple[int, ...]
    values: tuple[float, ...]
    policy: str
    rank: int
    n_frames: int
    isolated: tuple[int, ...] = ()
    estimated: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    nearest_to: str = ""

    def of(self, frames: Sequence[Atoms]) -> np.ndarray:
        """Sum of E0 over the atoms of each frame, eV, (B,)."""
        return np.asarray(composition(frames, self.species) @ np.array(self.values))

    def as_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)


def composition(frames: Sequence[Atoms], species: Sequence[int] | None = None) -> np.ndarray:
    """Element counts, (B, number of species).

    Parameters
    ----------
    species
        Atomic numbers; by default those that occur, in ascending order.

    Raises
    ------
    DataError
        If a frame has an element that is not in `species`.
    """
    if species is None:
        species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    counts = np.zeros((len(frames), len(species)))
    for row, atoms in enumerate(frames):
        for column, number in enumerate(species):
            counts[row, column] = np.count_nonzero(atoms.numbers == number)
        if counts[row].sum() != len(atoms):
            raise DataError(
                f"'{atoms.info.get('structure_id', '?')}' has an element that was never seen in training.",
                frame=row,
                key="species",
            )
    return counts


def least_squares_energies(
    frames: Sequence[Atoms],
    energies: np.ndarray,
    species: Sequence[int],
    policy: str = "least_squares",
    *,
    exact: Mapping[int, float] | None = None,
    cheaper: ReferenceEnergies | None = None,
) -> ReferenceEnergies:
    """Minimum-norm least squares of energies (B,) eV on element counts; NaN energies are left out.

    Parameters
    ----------
    exact
        Energies of isolated atoms, eV by atomic number: they are taken as they are, and the rest is fitted.
    cheaper
        Reference energies of a cheaper fidelity. If no energy here is about a species, all are fitted as those of the
        cheaper fidelity and a shift of least norm, and that species gets the mean shift of the atoms of the others.
    """
    known = np.isfinite(energies)
    counts = composition(frames, species)[known]
    if not len(counts):
        return ReferenceEnergies(tuple(species), (0.0,) * len(species), policy + " (no energies)", 0, 0)
    given = {number: value for number, value in (exact or {}).items() if number in species}
    fixed = np.array([number in given for number in species])
    unseen = ~(counts.any(axis=0) | fixed)
    start, shifted = np.zeros(len(species)), bool(unseen.any()) and cheaper is not None
    if shifted and cheaper is not None:
        base = dict(zip(cheaper.species, cheaper.values, strict=True))
        start = np.array([base.get(number, 0.0) for number in species])
    solution = np.where(fixed, [given.get(number, 0.0) for number in species], start)
    if fixed.any() or shifted:
        free = ~fixed & ~unseen
        telling = counts[:, free].any(axis=1)  # frames of exact atoms alone have nothing to tell of the others
        left = energies[known] - counts @ solution
        change, _, rank, _ = np.linalg.lstsq(counts[telling][:, free], left[telling], rcond=None)
        solution[free] += change
        rank += int(fixed.sum())
        if shifted:
            often = counts[:, free].sum(axis=0)
            solution[unseen] += float(often @ change / often.sum()) if often.sum() else 0.0
    else:
        solution, _, rank, _ = np.linalg.lstsq(counts, energies[known], rcond=None)
    return ReferenceEnergies(
        species=tuple(species),
        values=tuple(float(x) for x in solution),
        policy=policy,
        rank=int(rank),
        n_frames=int(known.sum()),
        isolated=tuple(given),
        estimated=(missing := tuple(number for number, none in zip(species, unseen, strict=True) if none)),
        unknown=tuple(n for n in missing if cheaper is None or n not in cheaper.species or n in cheaper.unknown),
    )


def isolated_energies(values: Mapping[str, float], species: Sequence[int]) -> ReferenceEnergies:
    """Energies of isolated atoms, eV by element symbol, as given by the user.

    Raises
    ------
    ConfigError
        If an element is missing.
    """
    by_number = {atomic_numbers[symbol]: energy for symbol, energy in values.items()}
    missing = [n for n in species if n not in by_number]
    if missing:
        raise ConfigError(f"isolated_energies: no energy for atomic numbers {missing}; give eV per element.")
    return ReferenceEnergies(tuple(species), tuple(by_number[n] for n in species), "isolated", len(species), 0)


def label_scale(frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> float | None:
    """Typical size of what the network has to output, eV: RMS force component x 1 Å.

    None where the fidelity has no forces to train on: the caller then takes the scale of the nearest
    cheaper fidelity that has them, so that shared weights mean the same at both, or
    :func:`energy_scale` if there is none.
    """
    if Label.FORCES not in labels:
        return None
    parts = [forces_of(a, fidelity).ravel() for a in frames]
    values = np.concatenate(parts) if parts else np.zeros(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return max(float(np.sqrt(np.mean(values**2))), 1e-3)


def energy_scale(frames: Sequence[Atoms], fidelity: str, references: ReferenceEnergies) -> float:
    """Standard deviation of the energies after their reference energies, eV per square root of atoms."""
    energies = np.array([energy_of(a, fidelity) for a in frames])
    residual = (energies - references.of(frames)) / np.sqrt([max(1, len(a)) for a in frames])
    residual = residual[np.isfinite(residual)]
    return max(float(residual.std()), 1e-3) if len(residual) else 1.0
