"""The report on a set of frames, to be read or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mfbench.mfcore.data.leakage import Duplicate

_LISTED = 10  # outliers that are printed


def counted(number: int, noun: str) -> str:
    """Return "1 fault", "2 faults" and so on."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


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
        Standard deviation of the energy per atom after the composition-linear part is removed; isolated atoms apart.
    slope
        Energy difference over -force times displacement of neighbouring frames: 1 if units and sign agree.
    slope_error
        Standard error of the slope.
    missing_pressure
        GPa to be added to the diagonal of the stress to make it the derivative of the energy.
    stress_form
        Sign and unit of the stress by the energies of neighbouring frames; "" where they do not tell.
    stress_rms, stress_max
        eV/Å³ if the form is right, of components.
    energy_unit
        Unit of energies that are those of all electrons, "" of others.
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
    slope_error: float
    missing_pressure: float
    stress_form: str
    stress_rms: float
    stress_max: float
    energy_unit: str
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
    """The content of a set of frames; `str()` of it is meant to be read.

    Attributes
    ----------
    bond_ratio
        Median distance of nearest neighbours over the sum of covalent radii.
    notes
        How the file was read, and what groups are.
    faults
        What must be mended before anything is trained on the frames.
    warnings
        What should be looked at.
    """

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
    bond_ratio: float
    notes: tuple[str, ...] = field(default=())
    faults: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """One line to act on."""
        if self.faults:
            return f"not to be trained on without mending {counted(len(self.faults), 'fault')}"
        if not any(r.n_energy for r in self.levels):
            return "no energies: nothing can be trained on it"
        names = " or ".join(f"'{r.fidelity}' ({r.n_energy} energies, {r.n_forces} forces)" for r in self.levels)
        looks = f", after a look at {counted(len(self.warnings), 'warning')}" if self.warnings else ""
        return f"usable as {names}{looks}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON takes them: NaN as None."""
        return dict(_plain(asdict(self) | {"verdict": self.verdict}))

    def __str__(self) -> str:
        low, high = self.n_atoms
        lines = [
            f"verdict     {self.verdict}",
            *(f"fault       {text}" for text in self.faults),
            f"frames      {self.n_frames} ({self.n_periodic} periodic), {low} to {high} atoms; nearest atoms are "
            f"{self.bond_ratio:.2f} times the sum of their covalent radii apart",
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
                slope = "not measured" if np.isnan(r.slope) else f"{r.slope:.3f} ± {r.slope_error:.1g}"
                lines.append(
                    f"  forces    rms {r.force_rms:.3f}, largest {r.force_max:.3f} eV/Å; energy-force slope {slope} "
                    "(1: units agree)"
                )
            if r.n_stress:
                form = f"by the energies: {r.stress_form}" if r.stress_form else "sign and unit not measured"
                added = "" if np.isnan(r.missing_pressure) else f"; {r.missing_pressure:+.1f} GPa to add"
                lines.append(f"  stress    rms {r.stress_rms:.3g}, largest {r.stress_max:.3g}; {form}{added}")
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
        lines += [f"note        {text}" for text in self.notes]
        lines += [f"warning     {w}" for w in self.warnings] or ["warnings    none"]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
