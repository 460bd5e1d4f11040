"""InxGa1-xN, a nitride semiconductor alloy, at PBE and r2SCAN; the data come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ase import Atoms

from benchmarks.tasks.base import Regime
from benchmarks.tasks.crystals import CrystalTask
from benchmarks.tasks.ingan.sample import TRAINED_X

if TYPE_CHECKING:
    from mfcore.dynamics.criteria import Unit


class InGaN(CrystalTask):
    """Wurtzite cells of 16 atoms of all compositions, cations in random order: rattled, strained, and from dynamics.

    The coverage gap is one of composition: HF trains at x = 0, ½ and 1; the far test has the compositions between.
    """

    name = "ingan"
    summary = "InxGa1-xN: PBE (E, F, S) and r2SCAN (E, F); gap: HF has x = 0, 1/2 and 1"
    default_regime = Regime(n_low=100, n_high=20, labels="low=EFS,high=EF", pairing="disjoint", coverage="gap")
    n_test = (20, 20)
    n_validation = 8

    def units(self) -> Sequence[Unit]:
        """Cations between four nitrogen atoms; a fifth may pass by."""
        from mfcore.dynamics.criteria import Unit

        return tuple(Unit(centre=e, neighbours=("N",), radius=2.9, least=4, most=5) for e in ("Ga", "In"))

    def covered(self, atoms: Atoms) -> bool:
        """One of the three compositions that HF trains at."""
        return float(atoms.info["x_In"]) in TRAINED_X
