"""Keys of labels as people write them: `energy`, `REF_forces`, `dft_stress`, `virials`, `Energy`, `dft_force`, ...

A key is a prefix and a quantity. All keys with one prefix are one source of labels: `REF_energy` belongs to
`REF_forces` and not to `forces`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.mfcore.data.extxyz import fortran_number
from mfbench.mfcore.fidelity import Label

FloatArray = NDArray[np.float64]

#: Last word of a prefix that makes an energy another quantity than the label (`fermi_energy`, `dispersion_energy`).
# fmt: off
OTHER_ENERGIES = frozenset({
    "activation", "adhesion", "adsorption", "atomic", "atomization", "band", "binding", "bond", "cohesive",
    "configurational", "correlation", "coulomb", "cutoff", "defect", "deformation", "dispersion", "elastic",
    "electron", "electronic", "electrostatic", "embedding", "entropy", "ewald", "exchange", "excitation", "fermi",
    "formation", "free", "gap", "gibbs", "gravity", "ground", "hartree", "helmholtz", "homo", "hull",
    "interaction", "internal", "ionic", "ionization", "kinetic", "lattice", "local", "lumo", "madelung",
    "migration", "mixing", "nuclear", "orbital", "point", "polarization", "potential", "reaction", "relative",
    "reorganization", "repulsion", "smearing", "solvation", "stabilization", "strain", "surface", "thermal",
    "threshold", "total", "vacancy", "vacuum", "valence", "vdw", "vibrational", "xc", "zbl", "zero", "zpe",
})
# fmt: on

#: Keys of another name that are read as the energy where a file has no other, best first.
FALLBACK_ENERGIES = ("free_energy", "potential_energy", "total_energy")

_QUANTITY = re.compile(
    r"^(?:(?P<prefix>.*[^_\-. ])[_\-. ])?(?P<quantity>energy|forces?|stress|virials?)$", re.IGNORECASE
)
_LIKE_A_LABEL = re.compile(
    r"energ|forc|stress|virial|gradient|hessian|^e$|^e_?(tot|pot|0|dft|scf)|etot|epot|^u0?$", re.IGNORECASE
)
_NO_LABEL = re.compile(r"cpu|time|hash|unit|weight|mask|source|method|per_atom|threshold|cutoff|config", re.IGNORECASE)


class KeyOf(NamedTuple):
    """A key of one frame: the source it belongs to (its prefix, "" for a plain key), its label, and its form."""

    source: str
    label: Label
    virial: bool


@dataclass(frozen=True)
class LabelKeys:
    """Keys that a user names: which to read as energy, forces and stress.

    Attributes
    ----------
    energy, forces, stress
        None where nothing was named; a stress key with "virial" in its name is taken as virials (eV).
    """

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None

    def __bool__(self) -> bool:
        return any((self.energy, self.forces, self.stress))

    def items(self) -> list[tuple[Label, str]]:
        """Return the labels that were named, with their keys."""
        pairs = ((Label.ENERGY, self.energy), (Label.FORCES, self.forces), (Label.STRESS, self.stress))
        return [(label, key) for label, key in pairs if key is not None]


def key_of_label(key: object, per_atom: bool) -> KeyOf | None:
    """Tell which source and label a key is of; None for a key of no label.

    Parameters
    ----------
    key
        Of `info` or `arrays`.
    per_atom
        True for a key of `arrays`: only forces are there; energy and stress are in `info`.
    """
    found = _QUANTITY.match(key) if isinstance(key, str) else None
    if found is None:
        return None
    quantity = found["quantity"].lower()
    if quantity.startswith("force") is not per_atom:
        return None
    label = Label.FORCES if per_atom else Label.ENERGY if quantity == "energy" else Label.STRESS
    return KeyOf(found["prefix"] or "", label, quantity.startswith("virial"))


def is_other_energy(source: str) -> bool:
    """Tell if an energy of this prefix is another quantity by its name: a Fermi level, a dispersion correction, ..."""
    return re.split(r"[_\-. ]", source.lower())[-1] in OTHER_ENERGIES


def like_a_label(key: object) -> bool:
    """Tell if a key sounds like an energy, forces or a stress."""
    return isinstance(key, str) and bool(_LIKE_A_LABEL.search(key)) and not _NO_LABEL.search(key)


def numbers(value: Any) -> FloatArray:
    """Convert a value to numbers: arrays, numbers, or their text, exponents with D included.

    Raises
    ------
    ValueError
        If the value is no number, such as T, F or a word.
    """
    if isinstance(value, str):
        value = [float(fortran_number(part)) for part in value.replace(",", " ").split()]
        value = value[0] if len(value) == 1 else value
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError("no number")
    return np.asarray(array, dtype=np.float64)


def keys_in(frames: Sequence[Atoms]) -> list[str]:
    """Return all keys of info and arrays in some frames, sorted, without those that every frame has."""
    return sorted({str(k) for atoms in frames for k in (*atoms.info, *atoms.arrays)} - {"numbers", "positions"})
