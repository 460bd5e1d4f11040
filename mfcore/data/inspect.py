"""What a set of frames has: labels, fidelities, signs of wrong units, duplicates, outliers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mfbench.mfcore.data.agreement import work_agreement
from mfbench.mfcore.data.frames import energy_of, fidelities_in, forces_of, has_label
from mfbench.mfcore.data.leakage import Duplicate, near_duplicates, sampling_tolerance
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.data.splits import groups_of, id_of
from mfbench.mfcore.fidelity import Label

FloatArray = NDArray[np.float64]

#: Robust z (deviation from the median in units of 1.4826 MAD) beyond which an energy is an outlier.
OUTLIER_Z = 8.0
_LISTED = 10  # outliers that are printed
#: eV/Å; a larger force is named: atoms on top of each other, or another unit.
LARGE_FORCE = 30.0
#: eV/Å; the root mean square of thermal forces lies in this range for molecules and solids up to thousands of K.
PLAUSIBLE_FORCE_RMS = (1e-3, 20.0)
#: GPa; pressure that stresses of one set may lack before it is named.
PRESSURE_TOLERANCE = 1.0

_EV_PER_KCAL_MOL = units.kcal / units.mol

#: What an energy-force slope (energy difference over force times displacement) tells, if it is not 1.
SLOPES = {
    "forces have the opposite sign (gradients)": -1.0,
    "forces in eV/nm, or positions in nm": 0.1,
    "energies in Hartree, forces in eV/Å": 1 / units.Hartree,
    "energies in eV, forces in Hartree/Bohr": units.Hartree / units.Bohr,
    "energies in Hartree, forces in Hartree/Bohr": 1 / units.Bohr,
    "energies in kcal/mol, forces in eV/Å": 1 / _EV_PER_KCAL_MOL,
    "energies in eV, forces in kcal/mol/Å": _EV_PER_KCAL_MOL,
    "energies in meV": 1000.0,
}


@dataclass(frozen=True)
class Outlier:
    """A frame that stands out: its index and name, by what, and how much."""

    frame: int
    structure_id: str
    what: str
    value: float


@dataclass(frozen=True)
class LevelReport:
    """Labels of one fidelity. Energies in eV/atom, forces in eV/Å; NaN where there is nothing to measure.

    Attributes
    ----------
    energy_per_atom
        Minimum, median and maximum.
    residual_sd
        Standard deviation of the energy per atom after the composition-linear part is removed.
    slope
        Energy difference over -force times displacement of neighbouring frames: 1 if units and sign agree.
    missing_pressure
        GPa, what has to be added to the diagonal of the stress to make it the derivative of the energy.
    """

    fidelity: str
    n_energy: int
    n_forces: int
    n_stress: int
    energy_per_atom: tuple[float, float, float]
    residual_sd: float
    force_rms: float
    force_max: float
    slope: float
    missing_pressure: float
    outliers: tuple[Outlier, ...]


@dataclass(frozen=True)
class OverlapReport:
    """Frames with labels of two fidelities; differences second - first, without the composition-linear part.

    Attributes
    ----------
    energy_rms, force_rms
        eV/atom and eV/Å.
    """

    first: str
    second: str
    n_energy: int
    n_forces: int
    energy_rms: float
    force_rms: float


@dataclass(frozen=True)
class InspectionReport:
    """What a set of frames has; `str()` of it is meant to be read."""

    n_frames: int
    n_atoms: tuple[int, int]
    elements: dict[str, int]
    n_periodic: int
    n_groups: int
    largest_group: int
    levels: tuple[LevelReport, ...]
    overlaps: tuple[OverlapReport, ...]
    duplicates: tuple[Duplicate, ...]
    duplicate_tolerance: float
    warnings: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        low, high = self.n_atoms
        lines = [
            f"frames      {self.n_frames} ({self.n_periodic} periodic), {low} to {high} atoms",
            f"elements    {', '.join(f'{e} {n}' for e, n in self.elements.items())}",
            f"groups      {self.n_groups}, the largest has {self.largest_group} frames",
            f"duplicates  {len(self.duplicates)} pairs within {self.duplicate_tolerance:.4f} Å rms of distances",
        ]
        for r in self.levels:
            e_min, e_median, e_max = r.energy_per_atom
            lines += [
                f"fidelity    {r.fidelity}: {r.n_energy} energies, {r.n_forces} forces, {r.n_stress} stresses",
                f"  energy    {e_min:.4f} / {e_median:.4f} / {e_max:.4f} eV/atom (min, median, max); "
                f"sd {1000 * r.residual_sd:.1f} meV/atom without the composition-linear part",
            ]
            if r.n_forces:
                slope = "not measured" if np.isnan(r.slope) else f"{r.slope:.3f}"
                lines.append(
                    f"  forces    rms {r.force_rms:.3f}, largest {r.force_max:.3f} eV/Å; energy-force slope {slope} "
                    "(1: units agree)"
                )
            if not np.isnan(r.missing_pressure):
                lines.append(f"  stress    {r.missing_pressure:+.1f} GPa to add for agreement with the energies")
            lines += [
                f"  outlier   frame {o.frame} '{o.structure_id}': {o.what} {o.value:.3g}" for o in r.outliers[:_LISTED]
            ]
            if len(r.outliers) > _LISTED:
                lines.append(f"  outlier   and {len(r.outliers) - _LISTED} more")
        for o in self.overlaps:
            forces = f", forces {o.force_rms:.3f} eV/Å on {o.n_forces}" if o.n_forces else ""
            lines.append(
                f"overlap     {o.first} and {o.second}: {o.n_energy} frames; rms difference "
                f"{1000 * o.energy_rms:.1f} meV/atom{forces}"
            )
        lines += [f"warning     {w}" for w in self.warnings] or ["warnings    none"]
        return "\n".join(lines)


def inspect(path: str | Path, fidelity: str | None = None) -> InspectionReport:
    """Read a file and report on it; see :func:`mfbench.mfcore.data.frames.read_frames` for arguments and errors."""
    return inspect_frames(read_frames(path, fidelity))


def inspect_frames(frames: Sequence[Atoms]) -> InspectionReport:
    """Report what frames have and what looks wrong; nothing is changed and nothing is refused."""
    names = fidelities_in(frames)
    levels = tuple(_level(frames, name) for name in names)
    overlaps = tuple(_overlap(frames, a, b) for a, b in combinations(names, 2))
    tolerance = sampling_tolerance(frames)
    duplicates = tuple(near_duplicates(frames, tolerance=tolerance))
    counts = Counter(int(z) for a in frames for z in a.numbers)
    groups = Counter(str(a.info.get("group")) for a in frames)
    sizes = [len(a) for a in frames]
    return InspectionReport(
        n_frames=len(frames),
        n_atoms=(min(sizes), max(sizes)),
        elements={chemical_symbols[z]: counts[z] for z in sorted(counts)},
        n_periodic=sum(bool(a.pbc.all()) for a in frames),
        n_groups=len(groups_of(frames)),
        largest_group=max(groups.values()),
        levels=levels,
        overlaps=tuple(o for o in overlaps if o.n_energy),
        duplicates=duplicates,
        duplicate_tolerance=tolerance,
        warnings=tuple(_warnings(frames, levels, duplicates)),
    )


def composition_residual(frames: Sequence[Atoms], values: FloatArray) -> FloatArray:
    """Return values per atom (eV/atom) without their composition-linear part, by least squares (minimum norm)."""
    counts = composition(frames)
    sizes = counts.sum(axis=1)
    fractions = counts / sizes[:, None]
    per_atom = values / sizes
    return np.asarray(per_atom - fractions @ np.linalg.lstsq(fractions, per_atom, rcond=None)[0])


def _level(frames: Sequence[Atoms], fidelity: str) -> LevelReport:
    index = [i for i, a in enumerate(frames) if has_label(a, fidelity, Label.ENERGY)]
    with_forces = [i for i, a in enumerate(frames) if has_label(a, fidelity, Label.FORCES)]
    energies = np.array([energy_of(frames[i], fidelity) for i in index])
    outliers: list[Outlier] = []
    spread = (float("nan"), float("nan"), float("nan"))
    residual_sd = float("nan")
    if index:
        chosen = [frames[i] for i in index]
        ratio = energies / np.array([len(a) for a in chosen])
        spread = (float(ratio.min()), float(np.median(ratio)), float(ratio.max()))
        residual = composition_residual(chosen, energies)
        residual_sd = float(residual.std())
        z = _robust_z(residual)
        outliers += [
            Outlier(index[k], id_of(frames[index[k]]), "energy, robust z", float(z[k]))
            for k in np.flatnonzero(np.abs(z) > OUTLIER_Z)
        ]
    norms = [np.linalg.norm(forces_of(frames[i], fidelity), axis=1) for i in with_forces]
    outliers += [
        Outlier(i, id_of(frames[i]), "largest force (eV/Å)", float(norm.max()))
        for i, norm in zip(with_forces, norms, strict=True)
        if norm.max() > LARGE_FORCE
    ]
    every = np.concatenate(norms) if norms else np.empty(0)
    slope, pressure = work_agreement(frames, fidelity)
    return LevelReport(
        fidelity=fidelity,
        n_energy=len(index),
        n_forces=len(with_forces),
        n_stress=sum(has_label(a, fidelity, Label.STRESS) for a in frames),
        energy_per_atom=spread,
        residual_sd=residual_sd,
        force_rms=float(np.sqrt(np.mean(every**2) / 3)) if len(every) else float("nan"),
        force_max=float(every.max()) if len(every) else float("nan"),
        slope=slope,
        missing_pressure=pressure,
        outliers=tuple(outliers),
    )


def _robust_z(values: FloatArray) -> FloatArray:
    deviation = values - np.median(values)
    scale = 1.4826 * float(np.median(np.abs(deviation)))
    return np.asarray(deviation / scale) if scale > 0 else np.zeros_like(deviation)


def _overlap(frames: Sequence[Atoms], first: str, second: str) -> OverlapReport:
    both = [a for a in frames if has_label(a, first, Label.ENERGY) and has_label(a, second, Label.ENERGY)]
    forced = [a for a in frames if has_label(a, first, Label.FORCES) and has_label(a, second, Label.FORCES)]
    energy = force = float("nan")
    if both:
        difference = np.array([energy_of(a, second) - energy_of(a, first) for a in both])
        energy = float(np.sqrt(np.mean(composition_residual(both, difference) ** 2)))
    if forced:
        delta = np.concatenate([(forces_of(a, second) - forces_of(a, first)).ravel() for a in forced])
        force = float(np.sqrt(np.mean(delta**2)))
    return OverlapReport(first, second, len(both), len(forced), energy, force)


def _warnings(frames: Sequence[Atoms], levels: Sequence[LevelReport], duplicates: Sequence[Duplicate]) -> list[str]:
    found = []
    if not levels:
        found.append("no labels: expected keys <fidelity>_energy (eV), <fidelity>_forces (eV/Å), or energy, forces")
    across = sum(frames[p.first].info.get("group") != frames[p.second].info.get("group") for p in duplicates)
    if across:
        found.append(f"{across} pairs of duplicates are in different groups: a split may separate them")
    for r in levels:
        if 0 < r.n_forces < r.n_energy:
            found.append(f"{r.fidelity}: {r.n_energy - r.n_forces} frames have an energy and no forces")
        low, high = PLAUSIBLE_FORCE_RMS
        if r.n_forces and not low <= r.force_rms <= high:
            found.append(f"{r.fidelity}: force rms {r.force_rms:.3g}; {low:g} to {high:g} eV/Å expected: another unit?")
        if not np.isnan(r.slope) and not 0.8 < r.slope < 1.25:
            best = min(SLOPES, key=lambda text: _log_distance(r.slope, SLOPES[text]))
            guess = f": {best}?" if _log_distance(r.slope, SLOPES[best]) < 0.2 else ""
            found.append(f"{r.fidelity}: energies and forces disagree (slope {r.slope:.3g}, expected 1){guess}")
        if abs(r.missing_pressure) > PRESSURE_TOLERANCE:
            found.append(
                f"{r.fidelity}: stresses are not the derivative of the energies: {r.missing_pressure:+.1f} GPa would "
                "have to be added (Pulay stress of too small a basis, or another sign or unit?)"
            )
        if r.n_energy and abs(r.energy_per_atom[1]) > 1e5:
            found.append(f"{r.fidelity}: energies of {r.energy_per_atom[1]:.3g} eV/atom: another unit?")
    return found


def _log_distance(value: float, reference: float) -> float:
    return abs(np.log(value / reference)) if value * reference > 0 else float("inf")
