"""The sizes that are measured along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.speed.settings import BASE

#: Atoms of the crystal, all at the same density.
ATOMS = (104, 416, 1404, 3328, 11232, 33696, 105456)
#: Å; the edges per atom grow with the third power.
CUTOFFS = (3.5, 4.0, 5.0, 6.0, 7.0)
CHANNELS = (16, 32, 64, 128)
DEGREES = (1, 2, 3)
#: Atoms along the other axes: large enough that no overhead of single calls is seen.
FIXED_ATOMS = 1404
#: The memory of one more size is measured.
EXAMPLE_ATOMS = 11232

AXES = ("atoms", "edges", "channels", "lmax")

#: The exponent in the number of atoms must not be above it.
MOST_EXPONENT = 1.05
#: From here on, the time of a call is not that of its overheads.
LARGE = 1000


@dataclass(frozen=True)
class Point:
    """One size along one axis.

    Attributes
    ----------
    axis
        "atoms", "edges", "channels" or "lmax".
    n_atoms
        Of the crystal.
    network
        Shape.
    """

    axis: str
    n_atoms: int
    network: Network

    @property
    def title(self) -> str:
        """For people."""
        shape = f"cutoff {self.network.cutoff:g} Å, lmax {self.network.lmax}, {self.network.channels} channels"
        return f"{self.axis}: {self.n_atoms} atoms, {shape}"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        network = self.network
        return {
            "axis": self.axis,
            "n_atoms": self.n_atoms,
            "cutoff": network.cutoff,
            "lmax": network.lmax,
            "channels": network.channels,
        }


def points(atoms: Sequence[int] = ATOMS, axes: Sequence[str] | None = None) -> list[Point]:
    """Return the sizes along some axes (all if None), small ones first."""
    made = [Point("atoms", n, BASE) for n in atoms]
    made += [Point("edges", FIXED_ATOMS, replace(BASE, cutoff=cutoff)) for cutoff in CUTOFFS]
    made += [Point("channels", FIXED_ATOMS, replace(BASE, channels=channels)) for channels in CHANNELS]
    made += [Point("lmax", FIXED_ATOMS, replace(BASE, lmax=lmax)) for lmax in DEGREES]
    return [point for point in made if axes is None or point.axis in axes]
