"""Look into a set of frames: labels, fidelities, signs of wrong units, copies, time series, outliers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mfbench.mfcore.data.agreement import RIGHT_FORM, agreement
from mfbench.mfcore.data.duplicates import Told, check_contradictions, describe, find_copies
from mfbench.mfcore.data.frames import energy_of, fidelities_in, forces_of, has_label, stress_of
from mfbench.mfcore.data.inspection import InspectionReport, LevelReport, Outlier, OverlapReport, counted
from mfbench.mfcore.data.isolated import is_isolated, isolated_notes
from mfbench.mfcore.data.label_keys import LabelKeys
from mfbench.mfcore.data.leakage import SAME_GEOMETRY, Duplicate, near_duplicates
from mfbench.mfcore.data.plausible import (
    PLAUSIBLE_BONDS,
    PLAUSIBLE_ENERGY,
    PLAUSIBLE_FORCE_RMS,
    PLAUSIBLE_STRESS_RMS,
    bond_ratio,
    energy_unit,
    length_unit,
)
from mfbench.mfcore.data.read import read_file
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.data.splits import groups_of, id_of
from mfbench.mfcore.data.time_series import block_groups
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label

FloatArray = NDArray[np.float64]

#: Robust z (deviation from the median in units of 1.4826 MAD) beyond which an energy is an outlier.
OUTLIER_Z = 8.0
#: eV/Å; a larger force is named: atoms on top of each other, or another unit.
LARGE_FORCE = 30.0
#: GPa; pressure that stresses of one set may lack before it is named.
PRESSURE_TOLERANCE = 1.0

_EV_PER_KCAL_MOL = units.kcal / units.mol

#: Slopes beyond these are no error of the trapezoid rule, which is off by a quarter at most; units differ by more.
WRONG_SLOPE = (0.7, 1.4)
_ERRORS = 3.0  # standard errors

#: Meaning of an energy-force slope (energy difference over force times displacement) that is not 1.
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


def inspect(
    path: str | Path,
    fidelity: str | None = None,
    *,
    keys: LabelKeys | None = None,
    group_key: str | None = None,
    block: int | None = None,
    told: Told | None = None,
) -> InspectionReport:
    """Read a file and report on it.

    Parameters
    ----------
    path, fidelity, keys, group_key
        As in :func:`mfbench.mfcore.data.read.read_file`, errors too.
    block
        As in :func:`mfbench.mfcore.data.time_series.block_groups`.
    told
        Told how far the comparison of geometries is.
    """
    read = read_file(path, fidelity, keys=keys, group_key=group_key)
    describe(read.frames, told)
    _, blocks = block_groups(read.frames, block)
    return inspect_frames(read.frames, [*read.notes, *blocks])


def inspect_frames(frames: Sequence[Atoms], notes: Sequence[str] = ()) -> InspectionReport:
    """Report what frames have and what looks wrong; nothing is changed and nothing is refused."""
    names = fidelities_in(frames)
    levels = tuple(_level(frames, name) for name in names)
    overlaps = tuple(_overlap(frames, a, b) for a, b in combinations(names, 2))
    copies = find_copies(frames)
    counts = Counter(int(z) for a in frames for z in a.numbers)
    groups = Counter(str(a.info.get("group")) for a in frames)
    sizes = [len(a) for a in frames]
    ratio = bond_ratio(frames)
    return InspectionReport(
        n_frames=len(frames),
        n_atoms=(min(sizes), max(sizes)),
        elements={chemical_symbols[z]: counts[z] for z in sorted(counts)},
        n_periodic=sum(bool(a.pbc.any()) for a in frames),
        n_groups=len(groups_of(frames)),
        largest_group=max(groups.values()),
        levels=levels,
        overlaps=tuple(o for o in overlaps if o.n_energy),
        duplicates=copies.pairs,
        duplicate_tolerance=copies.tolerance,
        bond_ratio=ratio,
        notes=(*notes, *isolated_notes(frames, names), *copies.note(frames)),
        faults=tuple(_faults(frames, levels, ratio)),
        warnings=tuple(_warnings(frames, levels, copies.pairs)),
    )


def label_faults(frames: Sequence[Atoms], fidelities: Sequence[str]) -> list[str]:
    """Say which labels of some fidelities have signs or units that cannot be right."""
    levels = [_level(frames, name) for name in fidelities]
    return _unit_faults(levels, bond_ratio(frames))


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
        bound = [k for k, a in enumerate(chosen) if not is_isolated(a)] or list(range(len(chosen)))
        residual = composition_residual([chosen[k] for k in bound], energies[bound])
        residual_sd = float(residual.std())
        outliers += [
            Outlier(index[k], id_of(frames[index[k]]), "energy, robust z", float(z))
            for k, z in zip(bound, _robust_z(residual), strict=True)
            if abs(z) > OUTLIER_Z
        ]
    norms = [np.linalg.norm(forces_of(frames[i], fidelity), axis=1) for i in with_forces]
    outliers += [
        Outlier(i, id_of(frames[i]), "largest force (eV/Å)", float(norm.max()))
        for i, norm in zip(with_forces, norms, strict=True)
        if norm.max() > LARGE_FORCE
    ]
    every = np.concatenate(norms) if norms else np.empty(0)
    agreed = agreement(frames, fidelity)
    stressed = [stress_of(a, fidelity).ravel() for a in frames if has_label(a, fidelity, Label.STRESS)]
    stresses = np.concatenate(stressed) if stressed else np.empty(0)
    return LevelReport(
        fidelity=fidelity,
        n_energy=len(index),
        n_forces=len(with_forces),
        n_stress=len(stressed),
        energy_per_atom=spread,
        residual_sd=residual_sd,
        force_rms=float(np.sqrt(np.mean(every**2) / 3)) if len(every) else float("nan"),
        force_max=float(every.max()) if len(every) else float("nan"),
        slope=agreed.slope,
        slope_error=agreed.slope_error,
        missing_pressure=agreed.pressure,
        stress_form=agreed.stress_form,
        stress_rms=float(np.sqrt(np.mean(stresses**2))) if len(stresses) else float("nan"),
        stress_max=float(np.abs(stresses).max()) if len(stresses) else float("nan"),
        energy_unit=energy_unit(frames, fidelity),
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


def _faults(frames: Sequence[Atoms], levels: Sequence[LevelReport], ratio: float) -> list[str]:
    found = _unit_faults(levels, ratio)
    try:
        check_contradictions(frames, near_duplicates(frames, tolerance=SAME_GEOMETRY))
    except DataError as error:
        found.append(str(error))
    return found


def _disagrees(level: LevelReport) -> bool:
    """Return true if the slope is out of `WRONG_SLOPE` by more than chance."""
    low, high = WRONG_SLOPE
    margin = _ERRORS * level.slope_error
    return bool(level.slope + margin < low or level.slope - margin > high)  # false of NaN


def _slope(level: LevelReport) -> str:
    return f"{level.slope:.3g} ± {level.slope_error:.1g}"


def _unit_faults(levels: Sequence[LevelReport], ratio: float) -> list[str]:
    found = []
    if unit := length_unit(ratio):
        found.append(
            f"positions are in {unit}: nearest atoms are {ratio:.2f} times the sum of their covalent radii apart, "
            f"{PLAUSIBLE_BONDS[0]:g} to {PLAUSIBLE_BONDS[1]:g} is possible; give Å"
        )
    for r in levels:
        if _disagrees(r):
            best = min(SLOPES, key=lambda text: _log_distance(r.slope, SLOPES[text]))
            guess = f": {best}?" if _log_distance(r.slope, SLOPES[best]) < 0.2 else ""
            found.append(f"{r.fidelity}: energies and forces disagree (slope {_slope(r)}, expected 1){guess}")
        if r.energy_unit not in ("", "eV"):
            several = ", one in some frames and another in others" if " and " in r.energy_unit else ""
            fit = "those of all electrons fit"
            found.append(f"{r.fidelity}: energies are in {r.energy_unit}{several} ({fit}); give eV")
        if r.stress_form not in ("", RIGHT_FORM):
            found.append(
                f"{r.fidelity}: stresses are in {r.stress_form}, by the energies of neighbouring frames; give eV/Å³, "
                "positive for a cell that wants to shrink"
            )
        elif r.n_stress and not r.stress_form and r.stress_rms > PLAUSIBLE_STRESS_RMS:
            gpa = r.stress_rms / units.GPa
            found.append(f"{r.fidelity}: stresses of {gpa:.3g} GPa (rms) are not possible: kbar, GPa or a virial?")
    return found


def _warnings(frames: Sequence[Atoms], levels: Sequence[LevelReport], duplicates: Sequence[Duplicate]) -> list[str]:
    found = []
    if not levels:
        found.append("no labels: expected keys <fidelity>_energy (eV), <fidelity>_forces (eV/Å), or energy, forces")
    groups = [str(a.info.get("group")) for a in frames]
    size = Counter(groups)
    pairs = [(groups[p.first], groups[p.second]) for p in duplicates]
    across = sum(first != second and max(size[first], size[second]) > 1 for first, second in pairs)
    if across:
        found.append(f"{counted(across, 'pair')} of duplicates in different groups, which become one")
    for r in levels:
        bare = sum(
            has_label(a, r.fidelity, Label.ENERGY) and not (has_label(a, r.fidelity, Label.FORCES) or is_isolated(a))
            for a in frames
        )
        if r.n_forces and bare:
            found.append(f"{r.fidelity}: {counted(bare, 'frame')} with an energy and no forces")
        low, high = PLAUSIBLE_FORCE_RMS
        if r.n_forces and not low <= r.force_rms <= high:
            found.append(f"{r.fidelity}: force rms {r.force_rms:.3g}; {low:g} to {high:g} eV/Å expected: another unit?")
        if r.n_forces and r.n_energy and np.isnan(r.slope):
            found.append(
                f"{r.fidelity}: signs and units of energies and forces could not be checked against each other (too "
                "few frames close to another one, or they do not fit)"
            )
        if not (_disagrees(r) or np.isnan(r.slope) or 0.8 < r.slope < 1.25):
            found.append(
                f"{r.fidelity}: whether units of energies and forces agree is open (slope {_slope(r)}, expected 1): "
                "frames are few, or too far apart for forces to say how energies change"
            )
        if r.n_stress and not r.stress_form:
            found.append(
                f"{r.fidelity}: sign and unit of the stresses (rms {r.stress_rms / units.GPa:.3g} GPa if eV/Å³) could "
                "not be checked against the energies"
            )
        if abs(r.missing_pressure) > PRESSURE_TOLERANCE:
            found.append(
                f"{r.fidelity}: stresses are not the derivative of the energies: {r.missing_pressure:+.1f} GPa would "
                "have to be added (Pulay stress of too small a basis?)"
            )
        if r.n_energy and abs(r.energy_per_atom[1]) > PLAUSIBLE_ENERGY:
            found.append(f"{r.fidelity}: energies of {r.energy_per_atom[1]:.3g} eV/atom: another unit?")
    return found


def _log_distance(value: float, reference: float) -> float:
    return abs(np.log(value / reference)) if value * reference > 0 else float("inf")
