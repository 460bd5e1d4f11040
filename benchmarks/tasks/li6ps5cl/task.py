"""Li6PS5Cl, an argyrodite Li-ion conductor, at PBE and r2SCAN; the data come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ase import Atoms

from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.crystals import CrystalTask
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.criteria import Unit

SMALL_DISPLACEMENT_A = 0.06
"""Below it, and without antisites, a frame is in coverage."""

COLD_K = 600.0
"""Snapshots of dynamics up to this temperature are in coverage."""


class Li6PS5Cl(CrystalTask):
    """Primitive cells of 13 atoms: rattled, strained and Li-disordered, and snapshots of dynamics.

    The coverage gap is one of geometry: HF trains on small displacements and low temperatures without S/Cl
    antisites; the far test has hot, Li-hopping and antisite frames.
    """

    name = "li6ps5cl"
    summary = "Li6PS5Cl: PBE (E, F, S) and r2SCAN (E, F); gap: HF has small displacements, ordered S/Cl"
    default_regime = Regime(n_low=100, n_high=20, labels="low=EFS,high=EF", pairing="disjoint", coverage="gap")
    generator = "mfbench.benchmarks.labelling.li6ps5cl.generate"
    n_test = (20, 20)
    n_validation = 8

    def units(self) -> Sequence[Unit]:
        """PS4 tetrahedra."""
        from mfbench.mfcore.dynamics.criteria import Unit

        return (Unit(centre="P", neighbours=("S",), radius=2.8, least=4, most=4),)

    def transport_frames(self) -> Sequence[Atoms]:
        """Cells of 52 atoms or more to see lithium diffuse in: geometries without labels.

        Raises
        ------
        ConfigError
            If dataset.yml names no such file.
        DataError
            If a file is not the one that dataset.yml describes.
        """
        return self._transport_cells

    @cached_property
    def _transport_cells(self) -> list[Atoms]:
        cells = [atoms for path in self.described("geometries") for atoms in read_frames(path)]
        if not cells:
            raise ConfigError("dataset.yml names no file of cells for transport (key 'geometries').")
        return cells

    def covered(self, atoms: Atoms) -> bool:
        """Small displacements or low temperature, and no antisite."""
        if atoms.info.get("antisite", False):
            return False
        if "temperature_K" in atoms.info:
            return float(atoms.info["temperature_K"]) <= COLD_K
        return float(atoms.info["displacement_A"]) < SMALL_DISPLACEMENT_A
