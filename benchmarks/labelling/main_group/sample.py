"""Geometries of main_group: each element and compound at equilibrium, strained and rattled; starts of dynamics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from mfbench.benchmarks.labelling.gpaw.cells import SAMPLING_SEED, Made
from mfbench.benchmarks.labelling.gpaw.dynamics_round import DynamicsRound
from mfbench.benchmarks.labelling.main_group.structures import k_points, n_phases, structures, system_of

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

K_POINT_DENSITY_A, DENSE_A = 3.0, 5.0
"""k-points per Å⁻¹ along each reciprocal lattice vector, and those of `METALS`: see README.md of the task."""

METALS = ("Li", "Na", "K", "Mg", "Ca", "Al", "Ga", "C")
"""Elements with a Fermi surface, graphite among them."""

MANY_PHASES = 4
"""Compounds of a system from which on its hull means something, so that it has more frames."""

FEWEST_ATOMS = 4
"""Atoms that a rattled cell has at least: a cell of one atom has no forces."""

VOLUMES = (0.94, 1.06)
"""Of strained cells, relative to the structure's."""

SHEAR = 0.03
"""Standard deviation of the entries of a strain tensor without trace."""

DISPLACEMENTS_A = (0.03, 0.12)
"""Standard deviation of displacements along each axis, drawn between these."""

CLOSEST = 0.7
"""Atoms of a rattled cell come no closer than this times the shortest distance of the structure."""

LARGEST_WORK = 7e4
"""k-points times atoms times volume (Å³) of a sheared or rattled cell, which has no symmetry. Those of more are left
out: each would take as long as five others."""

_BOTH, _LOW = "pbe+r2scan", "pbe"
_RATTLED, _SHEARED = 1, 2  # streams of random numbers


def round_one() -> list[Atoms]:
    """Sample frames, each with the levels that it is to be labelled at; systems of many phases first.

    Returns
    -------
    list of Atoms
        With structure_id, group (the element or compound), system, kind ("equilibrium", "strained", "rattled"), levels
        and k_points, the grid of the structure's own cell for all strains of it. Every equilibrium has both levels;
        of the others one rattled frame of each structure in coverage. Sheared and rattled cells that would take too
        long are left out.
    """
    phases = n_phases()
    return [
        frame
        for atoms in structures()
        for frame in _frames_of(atoms, phases[system_of(atoms)] >= MANY_PHASES or len(set(atoms.numbers)) == 1)
        if _symmetric(frame) or np.prod(frame.info["k_points"]) * len(frame) * frame.get_volume() < LARGEST_WORK
    ]


def _symmetric(frame: Atoms) -> bool:
    return frame.info["kind"] == "equilibrium" or "-volume" in frame.info["structure_id"]


def covered(atoms: Atoms) -> bool:
    """Say whether r2SCAN labels of a frame's system may be trained on under coverage "gap": of elements, and of half.

    By the hash of the system, so that compounds which are added change nothing.
    """
    return "-" not in str(atoms.info["system"]) or _number(str(atoms.info["system"])) % 2 == 0


def rounds() -> dict[str, DynamicsRound]:
    """Plan the second round: one snapshot of each of many short trajectories."""
    heat = (300.0, 600.0, 1000.0)
    plan = DynamicsRound(
        "main_group-md",
        _start,
        heat,
        n_trajectories=120,
        n_high=60,
        per_trajectory=1,
        duration_ps=1.0,
        interval_ps=0.05,
    )
    return {"dynamics": plan}


def relaxations(potential: Potential) -> list[Atoms]:
    """Relax the compounds of systems of many phases with a potential, from strained cells; failures are left out.

    Returns
    -------
    list of Atoms
        Kind "relaxed".
    """
    from mfbench.mfcore.potentials.relax import relax

    found, phases = [], n_phases()
    calculator = potential.calculator()
    for atoms in structures():
        if phases[system_of(atoms)] >= MANY_PHASES:
            end = relax(_sheared(atoms, 1), calculator, fmax=0.03, max_steps=200)
            if end.converged:
                made = _frame(end.atoms, atoms, "relaxed", "0")
                made.info["levels"] = _BOTH if covered(made) else _LOW
                found.append(made)
    return found


def _frames_of(atoms: Atoms, many: bool) -> Iterator[Atoms]:
    yield _frame(atoms, atoms, "equilibrium", "0")
    for volume in VOLUMES if many else ():
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * volume ** (1 / 3), scale_atoms=True)
        yield _frame(scaled, atoms, "strained", f"volume{round(100 * volume):03d}")
    yield _frame(_sheared(atoms, 0), atoms, "strained", "shear")
    for number in range(2 if many else 1):
        rattled, repeats = _rattled(atoms, number)
        yield _frame(rattled, atoms, "rattled", str(number), both=number == 0, repeats=repeats)


def _frame(
    moved: Atoms, atoms: Atoms, kind: str, number: str, *, both: bool = False, repeats: tuple[int, int, int] = (1, 1, 1)
) -> Atoms:
    made = Atoms(moved.numbers, positions=moved.positions, cell=moved.cell, pbc=True)
    made.wrap()
    name, system = str(atoms.info["structure_id"]), system_of(atoms)
    density = DENSE_A if system in METALS else K_POINT_DENSITY_A
    grid = [-(-k // n) for k, n in zip(k_points(atoms, density), repeats, strict=True)]
    made.info = {
        "structure_id": f"{name}-{kind}-{number}",
        "group": name,
        "system": system,
        "kind": kind,
        "k_points": np.array(grid),
    }
    made.info["levels"] = _BOTH if kind == "equilibrium" or (both and covered(made)) else _LOW
    return made


def _sheared(atoms: Atoms, number: int) -> Atoms:
    """A strained cell of the same volume, to first order."""
    generator = _generator(atoms, _SHEARED, number)
    tensor = generator.normal(0, SHEAR, (3, 3))
    tensor = (tensor + tensor.T) / 2
    tensor -= np.eye(3) * np.trace(tensor) / 3
    made = atoms.copy()
    made.set_cell(atoms.cell.array @ (np.eye(3) + tensor), scale_atoms=True)
    return made


def _rattled(atoms: Atoms, number: int) -> tuple[Atoms, tuple[int, int, int]]:
    """A cell of at least `FEWEST_ATOMS` with displaced atoms, and how often it repeats the structure's."""
    repeats = _repeats(atoms)
    generator = _generator(atoms, _RATTLED, number)
    limit = CLOSEST * shortest(atoms)
    while True:
        made = atoms * repeats
        made.set_cell(made.cell.array * generator.uniform(0.98, 1.03), scale_atoms=True)
        size = generator.uniform(*DISPLACEMENTS_A)
        made.positions += generator.normal(0, size, made.positions.shape)
        if shortest(made) > limit:
            return made, repeats


def _repeats(atoms: Atoms) -> tuple[int, int, int]:
    """Numbers of cells along the axes: the shortest axis is doubled until there are atoms enough."""
    repeats = np.ones(3, dtype=int)
    while len(atoms) * repeats.prod() < FEWEST_ATOMS:
        repeats[int(np.argmin(atoms.cell.lengths() * repeats))] *= 2
    first, second, third = repeats.tolist()
    return first, second, third


def shortest(atoms: Atoms) -> float:
    """Shortest distance of two atoms, or of an atom and its own image, Å."""
    reach = 1.5
    while True:
        distances = neighbor_list("d", atoms, reach)
        if len(distances):
            return float(distances.min())
        reach *= 1.5


def _start(generator: np.random.Generator) -> Made | None:
    compounds = [a for a in structures() if len(set(a.numbers)) > 1]
    chosen = compounds[int(generator.integers(len(compounds)))]
    repeats = _repeats(chosen)
    frame = _frame(chosen * repeats, chosen, "md", "0", repeats=repeats)
    info: dict[str, Any] = {key: frame.info[key] for key in ("group", "system", "k_points")}
    return frame, info


def _generator(atoms: Atoms, stream: int, number: int) -> np.random.Generator:
    """Random numbers of a structure, whatever others there are."""
    return np.random.default_rng([SAMPLING_SEED, stream, _number(str(atoms.info["structure_id"])), number])


def _number(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
