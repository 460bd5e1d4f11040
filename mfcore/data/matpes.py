"""Documents of MatPES (https://matpes.ai): structures with energy, forces and stress at PBE or r2SCAN.

The stress is in kbar, positive under compression, in the order xx yy zz yz xz xy. That was seen in the elements of the
release 2025.1: silicon, whose cell is smaller than PBE's own, has +12.7 at PBE; the monoclinic cells of selenium (axis
along y) and phosphorus (along x) have a shear in the fifth and in the fourth place alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.structures import frame_of_item
from mfbench.mfcore.errors import DataError

LEVELS = ("pbe", "r2scan")
"""Fidelities: functionals of documents, in small letters."""

KBAR = 0.1 * GPa
"""eV/Å³."""

_KEPT = ("bandgap", "formation_energy_per_atom", "cohesive_energy_per_atom")


def is_document(item: Any) -> bool:
    """Say whether an item of JSON is a document of MatPES."""
    return isinstance(item, dict) and "matpes_id" in item and isinstance(item.get("structure"), dict)


def frame_of_document(document: Mapping[str, Any], path: Path, index: int) -> Atoms:
    """Make a frame of a document.

    Returns
    -------
    Atoms
        With `pbe_` or `r2scan_` energy (eV), forces (eV/Å) and stress (eV/Å³, ASE's sign), structure_id (matpes_id),
        group (the structure of the Materials Project that it is from), and band gap and energies of formation and
        cohesion under the names that they have there. Charges and magnetic moments are not read.

    Raises
    ------
    DataError
        Naming file, frame and key, if something is missing or has a wrong shape.
    """
    level = str(document.get("functional")).lower()
    if level not in LEVELS:
        raise DataError(
            f"found {str(document.get('functional'))[:40]!r}; expected PBE or r2SCAN.",
            file=path,
            frame=index,
            key="functional",
        )
    key = "structure"
    try:
        found = frame_of_item(document["structure"], path, index)
        made = Atoms(found.numbers, positions=found.positions, cell=found.cell, pbc=True)
        key = "energy"
        energy = float(document["energy"])
        key = "forces"
        forces = np.array(document["forces"], dtype=np.float64).reshape(len(made), 3)
        key = "stress"
        given = document.get("stress")
        stress = None
        if given is not None:
            stress = -KBAR * np.asarray(voigt_6_to_full_3x3_stress(np.array(given, dtype=np.float64).reshape(6)))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"no document of MatPES ({type(error).__name__}: {str(error)[:80]}).", file=path, frame=index, key=key
        ) from None
    set_labels(made, level, energy=energy, forces=forces, stress=stress)
    if document["matpes_id"] is not None:
        made.info["structure_id"] = str(document["matpes_id"])
    origin = (document.get("provenance") or {}).get("original_mp_id")
    if origin is not None:
        made.info["group"] = str(origin)
    made.info.update({name: float(document[name]) for name in _KEPT if document.get(name) is not None})
    return made
