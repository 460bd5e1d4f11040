"""Geometries of the first round of InGaN: wurtzite cells of all compositions, cations in random order."""

from __future__ import annotations

import hashlib

import numpy as np
from ase import Atoms
from ase.build import bulk

from benchmarks.tasks.gpaw.cells import Made, collect, disturbed

N_FRAMES = 190
N_CATIONS = 8
TRAINED_X = (0.0, 0.5, 1.0)
"""Compositions that are in coverage."""

N_HIGH_TRAINED, N_HIGH_OTHER = 58, 24
"""How many frames of each kind get r2SCAN labels: the first ones."""

PURE_BLOCK = 4
"""Frames of one end member that make a group: there the order of the cations tells none apart."""


def round_one(count: int = N_FRAMES) -> list[Atoms]:
    """Sample frames, each with the levels that it is to be labelled at.

    Returns
    -------
    list of Atoms
        16 atoms each, with structure_id, group (composition and order of the cations; for the end members blocks of
        four frames), x_In, displacement_A (standard deviation of the displacements) and levels.
    """
    frames = collect("ingan-rattle", _make, count)
    trained = other = 0
    pure = {0.0: 0, 1.0: 0}
    for atoms in frames:
        x = float(atoms.info["x_In"])
        trained, other = trained + (x in TRAINED_X), other + (x not in TRAINED_X)
        high = trained <= N_HIGH_TRAINED if x in TRAINED_X else other <= N_HIGH_OTHER
        atoms.info["levels"] = "pbe+r2scan" if high else "pbe"
        name = f"In{round(x * N_CATIONS)}"
        if x in pure:
            atoms.info["group"] = f"{name}-block{pure[x] // PURE_BLOCK}"
            pure[x] += 1
        else:
            atoms.info["group"] = f"{name}-{ordering(atoms)}"
    return frames


def ordering(atoms: Atoms) -> str:
    """Name the order of the cations: eight digits of the hash of the list of species."""
    return hashlib.sha256(" ".join(atoms.get_chemical_symbols()).encode()).hexdigest()[:8]


def _make(generator: np.random.Generator) -> Made | None:
    n_indium = int(generator.integers(0, N_CATIONS + 1))
    x = n_indium / N_CATIONS
    atoms = bulk("GaN", "wurtzite", a=3.21 + x * 0.36, c=5.22 + x * 0.54) * (2, 2, 1)  # Vegard's law
    gallium = [i for i, symbol in enumerate(atoms.get_chemical_symbols()) if symbol == "Ga"]
    for i in generator.permutation(gallium)[:n_indium]:
        atoms[int(i)].symbol = "In"
    size = generator.uniform(0.01, 0.08)
    atoms.set_cell(atoms.cell * (1 + generator.uniform(-0.03, 0.04)), scale_atoms=True)
    moved = disturbed(atoms, generator, strain=0.02, sigma=np.full(len(atoms), size), closest=1.5)
    return None if moved is None else (moved, {"x_In": x, "displacement_A": size})
