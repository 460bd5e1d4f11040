"""Geometries of Li6PS5Cl: rattled, strained and Li-disordered argyrodite cells, and starts of dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from mfbench.benchmarks.labelling.gpaw.cells import Made, collect, disturbed, relaxed
from mfbench.benchmarks.labelling.gpaw.dynamics_round import DynamicsRound
from mfbench.benchmarks.tasks.li6ps5cl.task import SMALL_DISPLACEMENT_A

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

N_FRAMES = 470
LATTICE_A = 9.85
LI_48H = (0.183, 0.183, 0.024)
CLOSEST_LI_A = 2.0
_TRANSPORT_STREAM, _THIRD_ROUND_STREAM = 3, 4  # of random numbers

N_HIGH_SMALL, N_HIGH_OTHER = 170, 24
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


def rounds() -> dict[str, DynamicsRound]:
    """Plan the second round and the third.

    Rattled cells lead dynamics astray (Li comes close to P), which is explored first; then snapshots of trajectories
    that last. The third round, "further", has one snapshot of each of many more trajectories, all with r2SCAN labels.
    """
    from mfbench.mfcore.dynamics.criteria import Unit

    units = (Unit(centre="P", neighbours=("S",), radius=2.8, least=4, most=4),)
    heat = (300.0, 450.0, 600.0, 750.0, 900.0, 1200.0)
    explore = DynamicsRound(
        "li6ps5cl-explore",
        _start,
        heat,
        n_trajectories=40,
        n_high=16,
        kind="explore",
        per_trajectory=1,
        duration_ps=0.6,
        equilibration_ps=0.05,
        interval_ps=0.01,
        units=units,
    )
    dynamics = DynamicsRound("li6ps5cl-md", _start, heat, n_trajectories=48, n_high=48, units=units)
    further = DynamicsRound(
        "li6ps5cl-md2",
        _start,
        heat,
        n_trajectories=150,
        n_high=150,
        per_trajectory=1,
        units=units,
        stream=_THIRD_ROUND_STREAM,
    )
    return {"explore": explore, "dynamics": dynamics, "further": further}


def conventional_cells(potential: Potential, count: int = 2) -> list[Atoms]:
    """Cells of 52 atoms to start Li transport from: Li sites drawn, positions and volume relaxed with a potential.

    Returns
    -------
    list of Atoms
        With structure_id and group, without labels; cubic cells of one volume, the mean of what they relax to.
    """
    cells = collect("li6ps5cl-52", _cubic, count, stream=(_TRANSPORT_STREAM,))
    free = [relaxed(atoms, potential) for atoms in cells]
    a = float(np.mean([atoms.get_volume() for atoms in free])) ** (1 / 3)
    made = []
    for atoms, cell in zip(cells, free, strict=True):
        cell.set_cell([a, a, a], scale_atoms=True)
        cell.info = {"structure_id": atoms.info["structure_id"], "group": atoms.info["structure_id"]}
        made.append(cell)
    return made


def _argyrodite(generator: np.random.Generator, a: float, antisite: bool, primitive: bool = True) -> Atoms | None:
    """Ideal cell with half of the 48h sites filled with Li at random; None if the draw got stuck."""
    species = ["S" if antisite else "Cl", "P", "Cl" if antisite else "S", "S"]
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.6185, 0.6185, 0.6185)]
    cell = [a, a, a, 90, 90, 90]
    framework = crystal(species, sites, spacegroup=216, cellpar=cell, primitive_cell=primitive)
    lithium = crystal(["Li"], [LI_48H], spacegroup=216, cellpar=cell, primitive_cell=primitive)
    chosen = _half_filled(lithium, generator)
    return None if chosen is None else framework + lithium[chosen]


def _make(generator: np.random.Generator) -> Made | None:
    a = LATTICE_A * (1.0 + generator.uniform(-0.04, 0.05))
    antisite = bool(generator.random() < 0.25)
    atoms = _argyrodite(generator, a, antisite)
    if atoms is None:
        return None
    size = generator.uniform(0.02, 0.12)
    sigma = np.where(np.array(atoms.get_chemical_symbols()) == "Li", 2.0 * size, size)
    moved = disturbed(atoms, generator, strain=0.02, sigma=sigma, closest=1.75)
    return None if moved is None else (moved, {"displacement_A": size, "antisite": antisite, "a_A": a})


def _start(generator: np.random.Generator) -> Made | None:
    antisite = bool(generator.random() < 0.25)
    atoms = _argyrodite(generator, LATTICE_A, antisite)
    return None if atoms is None else (atoms, {"antisite": antisite})


def _cubic(generator: np.random.Generator) -> Made | None:
    atoms = _argyrodite(generator, LATTICE_A, antisite=False, primitive=False)
    return None if atoms is None else (atoms, {})


def _half_filled(sites: Atoms, generator: np.random.Generator) -> list[int] | None:
    """Choose half of the 48h sites, no two closer than 2 Å; None if the draw got stuck."""
    pool = list(generator.permutation(len(sites)))
    wanted = len(sites) // 2
    chosen: list[int] = []
    while pool and len(chosen) < wanted:
        candidate = pool.pop()
        distances = sites[[*chosen, candidate]].get_all_distances(mic=True)[-1, :-1]
        if not chosen or distances.min() > CLOSEST_LI_A:
            chosen.append(candidate)
    return chosen if len(chosen) == wanted else None
