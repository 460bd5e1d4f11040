"""Convergence of formation energies of main_group with the plane waves and the k-points.

    python -m mfbench.benchmarks.labelling.main_group.convergence FOLDER

Three small compounds and their elements are computed at a row of cutoffs (at the least dense k-points) and at a row of
densities of k-points, at a cutoff that is converged: below it the number of plane waves of each k-point makes energies
of other k-points differ (solid N2, a gap of 7 eV, by 38 meV/atom at 400 eV). Labels that FOLDER has are kept. The
elements are at their own structures, as those of the compounds are: no geometry is relaxed. PBE alone, with
point-group symmetry, which its energies do not depend on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.benchmarks.labelling.gpaw.labels import compute, read_labels
from mfbench.benchmarks.labelling.main_group.generate import CRYSTAL
from mfbench.benchmarks.labelling.main_group.structures import k_points, structures
from mfbench.benchmarks.observables.phases import composition
from mfbench.mfcore.metrics.phase_diagram import formation_energies_ev_per_atom as formation_energies
from mfbench.mfcore.metrics.phase_diagram import pure, shares_of_atoms

COMPOUNDS = ("mp-865939", "mp-1265", "mp-2653")
"""LiMg2, MgO and BN: a metal, an oxide and a nitride, with the element of short bonds that needs most plane waves."""

CUTOFFS_EV = (400.0, 500.0, 600.0, 800.0, 1000.0)
CONVERGED_EV = 800.0
DENSITIES = (2.0, 3.0, 4.0, 5.0)
"""k-points per Å⁻¹ along each reciprocal lattice vector."""

LEVEL = "pbe"
Point = tuple[float, float]
"""Cutoff (eV) and density of k-points (Å)."""


def points() -> list[Point]:
    """Settings to compute, the finest of each row last."""
    return [
        *((cutoff, DENSITIES[0]) for cutoff in CUTOFFS_EV),
        *((CONVERGED_EV, density) for density in DENSITIES[1:]),
    ]


def phases() -> list[Atoms]:
    """The compounds, and the elements that they are made of, the smallest cells first."""
    found = structures()
    compounds = [atoms for atoms in found if atoms.info["structure_id"] in COMPOUNDS]
    elements = {symbol for atoms in compounds for symbol in atoms.get_chemical_symbols()}
    pure = [a for a in found if a.info["structure_id"] in {f"{element}-element" for element in elements}]
    return sorted([*compounds, *pure], key=len)


def formation_energies_ev_per_atom(frames: Sequence[Atoms], energies: Mapping[str, float]) -> dict[str, float]:
    """Formation energies of compounds, by structure_id.

    Parameters
    ----------
    frames
        Compounds, and each element at the name that `structures` gives it.
    energies
        Energies (eV) by structure_id; a compound that lacks one, or one of an element, is left out.
    """
    names = [str(a.info["structure_id"]) for a in frames]
    shares, _ = shares_of_atoms([composition(a) for a in frames])
    per_atom = [energies.get(name, np.nan) / len(a) for name, a in zip(names, frames, strict=True)]
    found = formation_energies(shares, per_atom)
    scored = ~pure(shares) & ~np.isnan(found)
    return {name: float(energy) for name, energy, kept in zip(names, found, scored, strict=True) if kept}


def measure(out: Path, limit: int | None = None) -> dict[Point, dict[str, dict[str, Any]]]:
    """Compute what is missing and give the records by setting and structure_id.

    Parameters
    ----------
    out
        One folder each setting is made in it.
    limit
        Compute at most so many labels of each setting; 0 computes none.
    """
    found = {}
    for cutoff, density in points():
        frames = phases()
        for atoms in frames:
            atoms.info |= {"levels": LEVEL, "k_points": k_points(atoms, density)}
        folder = out / f"{cutoff:g}eV-{density:g}"
        settings = {**CRYSTAL.settings, "plane_waves_eV": cutoff}
        if limit != 0:
            compute(frames, folder, (LEVEL,), limit=limit, settings=settings)
        found[cutoff, density] = {name: record for (name, _), record in read_labels(folder).items()}
    return found


def table(found: Mapping[Point, Mapping[str, Mapping[str, Any]]]) -> str:
    """Write how far formation energies (meV/atom) are from those of the finest setting of their row."""
    frames = phases()
    energies = {
        point: formation_energies_ev_per_atom(
            frames, {name: r["energy_eV"] for name, r in records.items() if "error" not in r}
        )
        for point, records in found.items()
    }
    lines = ["| plane waves (eV) | k-points (Å) | " + " | ".join(COMPOUNDS) + " | CPU-s |", ""]
    lines[1] = "|" + "--:|" * (3 + len(COMPOUNDS))
    for reference, row in (
        ((CUTOFFS_EV[-1], DENSITIES[0]), [p for p in points() if p[1] == DENSITIES[0]]),
        ((CONVERGED_EV, DENSITIES[-1]), [p for p in points() if p[0] == CONVERGED_EV]),
    ):
        for point in row:
            off = [
                f"{1000 * (energies[point][name] - energies[reference][name]):+.2f}"
                if name in energies.get(point, {}) and name in energies.get(reference, {})
                else "–"
                for name in COMPOUNDS
            ]
            spent = sum(float(record.get("cpu_s", 0.0)) for record in found[point].values())
            lines.append(f"| {point[0]:g} | {point[1]:g} | {' | '.join(off)} | {spent:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="compute at most so many labels of each setting; 0: none")
    arguments = parser.parse_args()
    sys.stdout.write(table(measure(arguments.folder, arguments.limit)) + "\n")
