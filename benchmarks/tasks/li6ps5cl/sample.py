"""Geometries of the first round of Li6PS5Cl: rattled, strained and Li-disordered primitive argyrodite cells."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from benchmarks.tasks.gpaw.cells import Made, collect, disturbed

N_FRAMES = 170
LATTICE_A = 9.85
LI_48H = (0.183, 0.183, 0.024)
CLOSEST_LI_A = 2.0
SMALL_DISPLACEMENT_A = 0.06
"""Below it, and without antisites, a frame is in coverage."""

N_HIGH_SMALL, N_HIGH_OTHER = 50, 24
"""How many frames of each kind get r2SCAN labels: the first ones."""


def round_one(count: int = N_FRAMES) -> list[Atoms]:
    """Sample frames, each with the levels that it is to be labelled at.

    Returns
    -------
    list of Atoms
        13 atoms each, with structure_id, group (every frame is drawn on its own), displacement_A (standard deviation
        of the displacements; twice as much for Li), antisite (S and Cl swapped), a_A (conventional lattice constant
        before the strain) and levels.
    """
    frames = collect("li6ps5cl-rattle", _make, count)
    small = other = 0
    for atoms in frames:
        calm = atoms.info["displacement_A"] < SMALL_DISPLACEMENT_A and not atoms.info["antisite"]
        small, other = small + calm, other + (not calm)
        high = small <= N_HIGH_SMALL if calm else other <= N_HIGH_OTHER
        atoms.info["levels"] = "pbe+r2scan" if high else "pbe"
        atoms.info["group"] = atoms.info["structure_id"]
    return frames


def _make(generator: np.random.Generator) -> Made | None:
    a = LATTICE_A * (1.0 + generator.uniform(-0.04, 0.05))
    antisite = bool(generator.random() < 0.25)
    species = ["S" if antisite else "Cl", "P", "Cl" if antisite else "S", "S"]
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.6185, 0.6185, 0.6185)]
    cell = [a, a, a, 90, 90, 90]
    framework = crystal(species, sites, spacegroup=216, cellpar=cell, primitive_cell=True)
    lithium = crystal(["Li"], [LI_48H], spacegroup=216, cellpar=cell, primitive_cell=True)
    chosen = _half_filled(lithium, generator)
    if chosen is None:
        return None
    atoms = framework + lithium[chosen]
    size = generator.uniform(0.02, 0.12)
    sigma = np.where(np.array(atoms.get_chemical_symbols()) == "Li", 2.0 * size, size)
    moved = disturbed(atoms, generator, strain=0.02, sigma=sigma, closest=1.75)
    return None if moved is None else (moved, {"displacement_A": size, "antisite": antisite, "a_A": a})


def _half_filled(sites: Atoms, generator: np.random.Generator) -> list[int] | None:
    """Choose six of the twelve 48h sites, no two closer than 2 Å; None if the draw got stuck."""
    pool = list(generator.permutation(len(sites)))
    chosen: list[int] = []
    while pool and len(chosen) < 6:
        candidate = pool.pop()
        distances = sites[[*chosen, candidate]].get_all_distances(mic=True)[-1, :-1]
        if not chosen or distances.min() > CLOSEST_LI_A:
            chosen.append(candidate)
    return chosen if len(chosen) == 6 else None
