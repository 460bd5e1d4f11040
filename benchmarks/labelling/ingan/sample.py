"""Geometries of both rounds of InGaN: wurtzite cells of all compositions, cations in random order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from mfbench.benchmarks.labelling.gpaw.cells import Made, collect, disturbed
from mfbench.benchmarks.labelling.gpaw.dynamics_round import DynamicsRound
from mfbench.benchmarks.tasks.ingan.task import TRAINED_X

N_FRAMES = 580
N_CATIONS = 8
N_HIGH_TRAINED, N_HIGH_OTHER = 160, 30
"""How many frames of each kind get r2SCAN labels: the first ones."""

_THIRD_ROUND_STREAM = 4  # of random numbers

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


def rounds() -> dict[str, DynamicsRound]:
    """Plan the second round, trajectories of all compositions from 300 to 2000 K, and the third.

    The third, "further", has one snapshot of each trajectory, all with r2SCAN labels; half of the trajectories are of
    the compositions in coverage.
    """
    heat = (300.0, 700.0, 1100.0, 1500.0, 2000.0)
    further = DynamicsRound(
        "ingan-md2",
        _start_on_either_side,
        heat,
        n_trajectories=150,
        n_high=150,
        per_trajectory=1,
        stream=_THIRD_ROUND_STREAM,
    )
    return {"dynamics": DynamicsRound("ingan-md", _start, heat, n_trajectories=26, n_high=26), "further": further}


def wurtzite(order: Sequence[str]) -> Atoms:
    """Ideal 16-atom cell with the lattice constants of Vegard's law.

    Parameters
    ----------
    order
        Elements of the eight cations.
    """
    x = list(order).count("In") / N_CATIONS
    atoms = bulk("GaN", "wurtzite", a=3.21 + x * 0.36, c=5.22 + x * 0.54) * (2, 2, 1)
    cations = [i for i, symbol in enumerate(atoms.get_chemical_symbols()) if symbol == "Ga"]
    for i, symbol in zip(cations, order, strict=True):
        atoms[i].symbol = symbol
    return atoms


def drawn_order(generator: np.random.Generator) -> list[str]:
    """Draw a composition, all as likely, and an order of its cations."""
    n_indium = int(generator.integers(0, N_CATIONS + 1))
    order = np.array(["Ga"] * N_CATIONS)
    order[generator.permutation(N_CATIONS)[:n_indium]] = "In"
    return [str(symbol) for symbol in order]


def _make(generator: np.random.Generator) -> Made | None:
    order = drawn_order(generator)
    atoms = wurtzite(order)
    size = generator.uniform(0.01, 0.08)
    atoms.set_cell(atoms.cell * (1 + generator.uniform(-0.03, 0.04)), scale_atoms=True)
    moved = disturbed(atoms, generator, strain=0.02, sigma=np.full(len(atoms), size), closest=1.5)
    return None if moved is None else (moved, {"x_In": order.count("In") / N_CATIONS, "displacement_A": size})


def _start(generator: np.random.Generator) -> Made | None:
    return _started(drawn_order(generator))


def _start_on_either_side(generator: np.random.Generator) -> Made | None:
    trained = bool(generator.random() < 0.5)
    order = drawn_order(generator)
    while (order.count("In") / N_CATIONS in TRAINED_X) != trained:
        order = drawn_order(generator)
    return _started(order)


def _started(order: Sequence[str]) -> Made:
    n_indium = list(order).count("In")
    info: dict[str, Any] = {"x_In": n_indium / N_CATIONS}
    atoms = wurtzite(order)
    if 0 < n_indium < N_CATIONS:
        info["group"] = f"In{n_indium}-{ordering(atoms)}"  # frames of the first round may have the same order
    return atoms, info
