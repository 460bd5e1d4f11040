"""Small files in the formats of the public sets, made anew: other molecules, paths and energies."""

from __future__ import annotations

import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import Trajectory
from ase.units import kcal, mol

FORMULAS = {"ado": "CH3OH", "bpn": "CH3SH", "efa": "CH3Cl"}
KCAL_PER_MOL = kcal / mol


def stretched(name: str, number: int) -> Atoms:
    """A molecule, larger by a percent for each number."""
    atoms = molecule(name)
    atoms.positions *= 1.0 + 0.01 * number
    return atoms


def size(atoms: Atoms) -> float:
    """Sum of squared distances from the centre, Å²: the energy of these tests is linear in it."""
    return float(np.square(atoms.positions - atoms.positions.mean(axis=0)).sum())


class Sizes:
    """A potential whose energy (eV) is the size times a slope, plus an offset that no difference has."""

    requires_low_labels: ClassVar[tuple[str, ...]] = ()
    fidelities = ("cc",)
    arm = "plain"

    def __init__(self, slope: float = 1.0, species: tuple[int, ...] = (1, 6, 8, 16, 17, 29)) -> None:
        self.slope, self.species = slope, species

    def predict(self, frames, fidelity=None, *, forces=True):
        assert not forces
        return SimpleNamespace(energies=np.array([self.slope * size(a) - 1000.0 for a in frames]))


def conformers_file(path: Path, *, number: int = 4, order: str = "name energy", slope: float = 1.0) -> Path:
    """XYZ as of Wiggle150: names and absolute energies in kcal/mol in the comment lines."""
    lines = []
    for short, formula in FORMULAS.items():
        for i in range(number):
            atoms = stretched(formula, i)
            words = {"name": f"{short}_{i:02d}", "energy": f"{slope * size(atoms) / KCAL_PER_MOL - 5e5:.8f}"}
            lines += [str(len(atoms)), " ".join(words[word] for word in order.split())]
            lines += [
                f"{s} {x:.8f} {y:.8f} {z:.8f}"
                for s, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
            ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def band(height: float, reaction_energy: float) -> list[Atoms]:
    """Ten frames of an adsorbate on a slab, with energies over a barrier."""
    frames = []
    for i in range(10):
        slab = fcc111("Cu", (1, 1, 2), vacuum=6.0)
        add_adsorbate(slab, molecule("OH"), 1.8 + 0.1 * i, "ontop")
        energy = -10.0 + (height if i == 6 else reaction_energy * i / 9)
        slab.calc = SinglePointCalculator(slab, energy=energy, forces=np.zeros((len(slab), 3)))
        frames.append(slab)
    return frames


BANDS = {
    "desorption_ood_87_9841_0_111-1_neb1.0.traj": (0.8, 0.3),
    "transfer_ood_3_11_9_111-4_neb1.0.traj": (0.5, -0.2),
    "dissociation_id_83_2409_9_111-4_neb1.0.traj": (1.1, 0.1),
}


def trajectories(folder: Path) -> Path:
    """A trajectory of two iterations for each band: the first is none that counts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (height, energy) in BANDS.items():
        with Trajectory(str(folder / name), "w") as trajectory:
            for frame in [*band(9.0, 9.0), *band(height, energy)]:
                trajectory.write(frame)
    return folder


def archive(path: Path, folder: Path) -> Path:
    """The same packed as the published archive is."""
    with tarfile.open(path, "w:gz") as packed:
        for name in BANDS:
            packed.add(folder / name, f"oc20neb/{name.partition('_')[0]}s/{name}")
    return path
