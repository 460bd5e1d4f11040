"""Benchmark sets by name: labelled frames that potentials are measured on and never trained on."""

from __future__ import annotations

from dataclasses import dataclass

from mfbench.benchmarks.sets import oc20neb, wiggle150
from mfbench.benchmarks.sets.files import PublicFile, found
from mfbench.mfcore.errors import ConfigError


@dataclass(frozen=True)
class BenchmarkSet:
    """A set; observables name the one that they measure on (:attr:`Observable.benchmark`)."""

    name: str
    summary: str
    file: PublicFile

    @property
    def line(self) -> str:
        """Its summary, and what to do where its data are not here."""
        here = oc20neb.is_here() if self.name == oc20neb.FILE.folder else found(self.file) is not None
        what = f"{self.summary}; to measure on (mfbench measure), not to train on"
        return what if here else f"{what}; {self.file.absent}"


SETS = {
    one.name: one
    for one in (
        BenchmarkSet(
            "wiggle150",
            "Wiggle150: 150 strained conformers of three molecules, DLPNO-CCSD(T)",
            wiggle150.FILE,
        ),
        BenchmarkSet("oc20neb", "OC20NEB: 932 reaction paths on surfaces, bands of RPBE", oc20neb.FILE),
    )
}


def set_of(name: str) -> BenchmarkSet:
    """Give a set.

    Raises
    ------
    ConfigError
        Names those that there are.
    """
    if name not in SETS:
        raise ConfigError(f"unknown benchmark set '{name}'; there are {', '.join(SETS)}.")
    return SETS[name]
