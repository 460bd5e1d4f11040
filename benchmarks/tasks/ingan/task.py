"""InxGa1-xN, a nitride semiconductor alloy, at PBE and r2SCAN; the data come with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ase import Atoms

from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.crystals import HIGH, CrystalTask
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import Label

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.criteria import Unit

TRAINED_X = (0.0, 0.5, 1.0)
"""Compositions that are in coverage."""


class InGaN(CrystalTask):
    """Wurtzite cells of 16 atoms of all compositions, cations in random order: rattled, strained, and from dynamics.

    The coverage gap is one of composition: HF trains at x = 0, ½ and 1; the far test has the compositions between.
    """

    name = "ingan"
    summary = "InxGa1-xN: PBE and r2SCAN (E, F); gap: HF has x = 0, 1/2 and 1"
    default_regime = Regime(n_low=80, n_high=20, labels="low=EF,high=EF", pairing="disjoint", coverage="gap")
    generator = "mfbench.benchmarks.labelling.ingan.generate"
    n_test = (18, 22)
    n_validation = 8

    def units(self) -> Sequence[Unit]:
        """Cations between four nitrogen atoms; a fifth may pass by."""
        from mfbench.mfcore.dynamics.criteria import Unit

        return tuple(Unit(centre=e, neighbours=("N",), radius=2.9, least=4, most=5) for e in ("Ga", "In"))

    def covered(self, atoms: Atoms) -> bool:
        """One of the three compositions that HF trains at."""
        return float(atoms.info["x_In"]) in TRAINED_X

    def composition(self, atoms: Atoms) -> float:
        """Share of indium among the cations."""
        return float(atoms.info["x_In"])

    def orderings(self) -> Sequence[Atoms]:
        """Near-relaxed orderings of all compositions; in no split.

        Raises
        ------
        ConfigError
            If the data have none with HF labels, or lack an end member.
        """
        missing = {0.0, 1.0} - {self.composition(a) for a in self._orderings}
        if missing or len(self._orderings) == 2:
            lacking = " and ".join(f"x = {x:g}" for x in sorted(missing)) or "compositions between the end members"
            raise ConfigError(
                f"mixing: the data of task '{self.name}' have no {lacking} among the frames of kind 'ordering' with "
                f"'{HIGH}' labels; convert their labels, or leave the key out."
            )
        return self._orderings

    def phases(self) -> Sequence[Atoms]:
        """The orderings: energies of formation from GaN and InN are mixing energies."""
        return self.orderings()

    def components(self) -> Sequence[Mapping[str, int]]:
        """The end members."""
        return {"Ga": 1, "N": 1}, {"In": 1, "N": 1}

    def volume_scans(self) -> Mapping[str, Sequence[Atoms]]:
        """GaN and InN, each at several volumes; in no split.

        Raises
        ------
        ConfigError
            If the data have none with HF labels.
        """
        scans: dict[str, list[Atoms]] = {}
        for atoms in self._of_kind("eos"):
            scans.setdefault(str(atoms.info["member"]), []).append(atoms)
        if not scans:
            raise ConfigError(
                f"mixing: the data of task '{self.name}' have no frame of kind 'eos' with '{HIGH}' labels; convert "
                "their labels, or set bulk_modulus to false."
            )
        return scans

    @cached_property
    def _orderings(self) -> list[Atoms]:
        return self._of_kind("ordering")

    def _of_kind(self, kind: str) -> list[Atoms]:
        return [a for a in self.frames if a.info.get("kind") == kind and has_label(a, HIGH, Label.ENERGY)]
