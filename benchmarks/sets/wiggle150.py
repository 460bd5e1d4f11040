"""Wiggle150: 150 strained conformers of three molecules, and the relaxed one of each, at DLPNO-CCSD(T)/CBS.

R. R. Brew et al., J. Chem. Theory Comput. 21, 3922 (2025), doi:10.1021/acs.jctc.5c00015; the file is supporting
information 3: XYZ, with a name such as `ado_00` and the energy in kcal/mol in each comment line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.benchmarks.sets.files import PublicFile, obtain
from mfbench.mfcore.data.extxyz import frame_texts, parse_frame
from mfbench.mfcore.errors import DataError

FILE = PublicFile(
    "ct5c00015_si_003.xyz",
    "wiggle150",
    (
        "https://pubs.acs.org/doi/suppl/10.1021/acs.jctc.5c00015/suppl_file/ct5c00015_si_003.xyz",
        "https://chemrxiv.org/engage/api-gateway/chemrxiv/assets/orp/resource/item/677c52a981d2151a02209701/original/"
        "si-coords-xyz.xyz",
    ),
    "0.5 MB",
)
MOLECULES = {"ado": "adenosine", "bpn": "benzylpenicillin", "efa": "efavirenz"}
_NAME = re.compile(r"([a-z]{3})_?(\d{2,3})")


@dataclass(frozen=True)
class Conformers:
    """Conformers of one molecule.

    Attributes
    ----------
    names
        Of the conformers; that of number 0, which energies are relative to, is the first.
    frames
        In the same order.
    energies_kcal_per_mol
        Of the reference, (n,).
    """

    names: Sequence[str]
    frames: Sequence[Atoms]
    energies_kcal_per_mol: NDArray[np.float64]


def read_conformers(path: Path | None = None) -> Mapping[str, Conformers]:
    """Read the conformers of each molecule, by its short name.

    Parameters
    ----------
    path
        None: the file that :data:`FILE` is.

    Raises
    ------
    DataError
        If the file is not here; a comment line has no name and energy; two conformers have one name or different
        atoms; or a molecule has no number 0.
    """
    path = obtain(FILE) if path is None else path
    found: dict[str, dict[int, tuple[str, Atoms, float]]] = {}
    for index, text in enumerate(frame_texts(path)):
        lines = text.split("\n")
        molecule, number, energy = _comment(lines[1], path, index)
        lines[1] = ""
        atoms = parse_frame("\n".join(lines), path, index)
        own = found.setdefault(molecule, {})
        name = f"{molecule}_{number:02d}"
        if number in own:
            raise DataError(f"the conformer {name} comes twice.", file=path, frame=index)
        if any(sorted(a.numbers) != sorted(atoms.numbers) for _, a, _ in own.values()):
            raise DataError(f"{name} has other atoms than the conformers before it.", file=path, frame=index)
        own[number] = (name, atoms, energy)
    if not found:
        raise DataError("the file has no frame.", file=path)
    for molecule, own in found.items():
        if 0 not in own:
            raise DataError(f"{molecule}: there is no {molecule}_00, which energies are relative to.", file=path)
    ordered = {molecule: [own[number] for number in sorted(own)] for molecule, own in found.items()}
    return {
        molecule: Conformers(
            [name for name, _, _ in own], [a for _, a, _ in own], np.array([energy for _, _, energy in own])
        )
        for molecule, own in ordered.items()
    }


def _comment(line: str, path: Path, index: int) -> tuple[str, int, float]:
    """Molecule, number and energy of a comment line, in whatever order."""
    names, energies = [], []
    for word in line.replace(",", " ").split():
        if match := _NAME.fullmatch(word.lower()):
            names.append(match)
        else:
            try:
                energies.append(float(word))
            except ValueError:
                continue
    if len(names) != 1 or len(energies) != 1 or not np.isfinite(energies[0]):
        raise DataError(
            f"the comment line is {line[:60]!r}; expected a name such as ado_00, and an energy in kcal/mol.",
            file=path,
            frame=index,
        )
    return names[0].group(1), int(names[0].group(2)), energies[0]
