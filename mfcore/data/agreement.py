"""Do energies, forces and stresses of a set belong together? Told from neighbouring frames, without a reference.

Between two frames close to each other the energy changes by the work of the forces, -F dx, and of the stress, V s : e,
by the trapezoid rule. Least squares over pairs gives the factor of the forces' work, 1 if signs and units belong
together; the factor of the stress' work is tried among those that wrong signs and units have.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from scipy.stats import f as f_distribution

from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, stress_of
from mfbench.mfcore.data.periodic import whole_cell
from mfbench.mfcore.fidelity import Label

FloatArray = NDArray[np.float64]

#: Least r² and number of neighbouring pairs of frames for which the result is trusted.
_LEAST_R2, _LEAST_PAIRS = 0.8, 10
_GOOD_R2 = 0.95  # of energies that need no pressure to be explained
_SAMPLE = 300  # pairs of each composition
_DISTANCE = 0.25  # Å rms; beyond it the trapezoid rule says nothing
_LARGEST = 60  # atoms of a frame
_MOST_COMPARED = 2000  # frames among which a periodic frame's neighbour is looked for
_GPA = 1 / units.GPa
_ERRORS = 3.0  # standard errors that a missing pressure has to be from 0
_CHANCE = 1e-3  # with which a wrong form of the stress may explain the energies better

#: Words for the form of a stress, and the number that it has to be multiplied by to be eV/Å³ with ASE's sign; None
#: stands for 1 / volume.
STRESS_FORMS: dict[str, float | None] = {
    "eV/Å³": 1.0,
    "eV/Å³ with the opposite sign (pressure)": -1.0,
    "GPa": units.GPa,
    "GPa with the opposite sign (pressure)": -units.GPa,
    "kbar": 0.1 * units.GPa,
    "kbar with the opposite sign (pressure, as of VASP)": -0.1 * units.GPa,
    "eV, that is stress times volume": None,
    "virials in eV (stress times -volume)": None,
}
RIGHT_FORM = "eV/Å³"


class Agreement(NamedTuple):
    """Verdict of neighbouring frames; NaN and "" where there is nothing to tell it from.

    Attributes
    ----------
    slope
        Energy difference over the work of the forces.
    pressure
        GPa that the stress lacks to be the derivative of the energy: the Pulay stress of a plane-wave basis that is
        not converged, with the opposite sign. 0 where it is not significant.
    stress_form
        One of `STRESS_FORMS`.
    slope_error
        Standard error of the slope, without what the trapezoid rule itself is wrong by.
    """

    slope: float
    pressure: float
    stress_form: str
    slope_error: float = float("nan")


class _Pair(NamedTuple):
    """Work of forces and of stress in eV, the latter's mean volume and change of volume in Å³, change of energy."""

    forces: float
    stress: float
    volume: float
    grown: float
    energy: float


def energy_force_slope(frames: Sequence[Atoms], fidelity: str) -> float:
    """Return the slope of energy differences against -force times displacement, between neighbouring frames.

    Pairs are the nearest frames of one composition with the same order of atoms, molecules turned onto each other;
    the work is taken by the trapezoid rule. 1 means that energies, forces and positions have units that belong
    together and that forces are not gradients. NaN if there are too few such pairs, or the rule does not hold for
    them.
    """
    return agreement(frames, fidelity).slope


def work_agreement(frames: Sequence[Atoms], fidelity: str) -> tuple[float, float]:
    """Return the energy-force slope and the missing pressure, GPa; NaN where there is nothing to tell it from."""
    found = agreement(frames, fidelity)
    return found.slope, found.pressure


def agreement(frames: Sequence[Atoms], fidelity: str) -> Agreement:
    """Tell how energies, forces and stresses of a fidelity belong together."""
    by_kind: dict[tuple[bytes, bytes, bool], list[Atoms]] = {}
    for atoms in frames:
        labelled = all(has_label(atoms, fidelity, x) for x in (Label.ENERGY, Label.FORCES))
        if labelled and 1 < len(atoms) <= _LARGEST:
            # no straight path leads from a left-handed cell to a right-handed one
            left_handed = bool(atoms.pbc.any() and np.linalg.det(whole_cell(atoms)) < 0)
            key = atoms.numbers.astype(np.int64).tobytes(), atoms.pbc.tobytes(), left_handed
            by_kind.setdefault(key, []).append(atoms)
    pairs: list[_Pair] = []
    for members in by_kind.values():
        if len(members) > 1:
            periodic = members[0].pbc.any()
            pairs += _crystal_pairs(members, fidelity) if periodic else _molecule_pairs(members, fidelity)
    nothing = Agreement(float("nan"), float("nan"), "")
    if len(pairs) < _LEAST_PAIRS:
        return nothing
    forces, stress, volume, grown, energy = np.array(pairs).T
    if not (forces @ forces > 0 and energy @ energy > 0):
        return nothing
    strained = stress != 0
    if strained.sum() < _LEAST_PAIRS:
        slope, _, errors = _trusted(forces[~strained, None], energy[~strained])
        return Agreement(slope, float("nan"), "", float(errors[0]))
    return _with_stress(forces, stress, volume, grown, energy)


def _with_stress(
    forces: FloatArray, stress: FloatArray, volume: FloatArray, grown: FloatArray, energy: FloatArray
) -> Agreement:
    """The form of the stress that explains the energies best, the forces' slope with it, and the missing pressure."""
    left: dict[str, float] = {}
    works = {}
    for form, factor in STRESS_FORMS.items():
        sign = -1.0 if form.startswith("virials") else 1.0
        works[form] = sign * stress / volume if factor is None else factor * stress
        free = np.stack([forces, grown], axis=1)  # a pressure that the stress lacks does not speak against its form
        rest = energy - works[form] - free @ np.linalg.lstsq(free, energy - works[form], rcond=None)[0]
        left[form] = float(rest @ rest)
    best = min(left, key=lambda form: left[form])
    total = float(energy @ energy)
    n_pairs = max(2, len(energy) // 2)  # half of them may be the others the other way round
    by_chance = max(1.5, float(f_distribution.ppf(1 - _CHANCE, n_pairs, n_pairs)))
    if left[RIGHT_FORM] <= by_chance * left[best] or 1 - left[RIGHT_FORM] / total > _GOOD_R2:
        best = RIGHT_FORM
    columns = np.stack([forces + works[best], grown], axis=1)
    slope, answer, errors = _trusted(columns, energy)
    if np.isnan(slope):
        if 1 - left[best] / total <= _LEAST_R2:
            return Agreement(float("nan"), float("nan"), "")
        _, answer, errors = _trusted(forces[:, None], energy - works[best])
        return Agreement(float(answer[0]), float("nan"), best, float(errors[0]))
    pressure = float(answer[1])
    without, _, _ = _trusted(columns[:, :1], energy, _GOOD_R2)  # the rule's error is of the size of few GPa
    significant = abs(pressure) > _ERRORS * errors[1] and np.isnan(without)
    return Agreement(slope, pressure * _GPA if significant else 0.0, best, float(errors[0]))


def _trusted(
    columns: FloatArray, energy: FloatArray, least_r2: float = _LEAST_R2
) -> tuple[float, FloatArray, FloatArray]:
    """Least squares: the first coefficient (NaN if it is not to be trusted), all of them, their standard errors.

    Two frames that are each other's nearest are in it twice, so that errors are those of half as many pairs.
    """
    if len(energy) < _LEAST_PAIRS:
        return float("nan"), np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
    answer = np.asarray(np.linalg.lstsq(columns, energy, rcond=None)[0], dtype=np.float64)
    left = energy - columns @ answer
    spread = 2 * float(left @ left) / max(1, len(energy) - columns.shape[1])
    errors = np.asarray(
        np.sqrt(np.maximum(np.diag(np.linalg.pinv(columns.T @ columns)) * spread, 0.0)), dtype=np.float64
    )
    trusted = 1 - float(left @ left) / float(energy @ energy) > least_r2
    return (float(answer[0]) if trusted else float("nan")), answer, errors


def _molecule_pairs(members: Sequence[Atoms], fidelity: str) -> list[_Pair]:
    """Pairs of molecules and their nearest neighbours, turned onto each other."""
    rows = []
    distances = np.stack([pdist(a.positions) for a in members]) / np.sqrt(len(pdist(members[0].positions)))
    chosen = range(0, len(members), 1 + len(members) // _SAMPLE)
    apart, nearest = cKDTree(distances).query(distances[chosen], k=2)
    for i, d, j in zip(chosen, apart[:, 1], nearest[:, 1], strict=True):
        if 1e-4 < d < _DISTANCE:
            a, b = members[i], members[int(j)]
            first, second = (x.positions - x.positions.mean(axis=0) for x in (a, b))
            with warnings.catch_warnings():  # a turn about the axis of a linear molecule changes nothing
                warnings.filterwarnings("ignore", "Optimal rotation is not uniquely", UserWarning)
                turn, rssd = Rotation.align_vectors(first, second)  # takes b's frame to a's
            if rssd / np.sqrt(len(a)) > _DISTANCE:
                continue  # mirror images
            mean_force = 0.5 * (forces_of(a, fidelity) + turn.apply(forces_of(b, fidelity)))
            work = -float((mean_force * (turn.apply(second) - first)).sum())
            rows.append(_Pair(work, 0.0, 1.0, 0.0, energy_of(b, fidelity) - energy_of(a, fidelity)))
    return rows


def _crystal_pairs(members: Sequence[Atoms], fidelity: str) -> list[_Pair]:
    """Pairs of cells and their neighbours.

    The path is straight in fractional coordinates and cell; a pair with different cells needs the stress of both.
    """
    members = members[:: 1 + len(members) // _MOST_COMPARED]
    cells = np.stack([whole_cell(a) for a in members])
    fractions = np.stack([a.positions @ np.linalg.inv(cell) for a, cell in zip(members, cells, strict=True)])
    pbc = np.asarray(members[0].pbc, dtype=bool)
    volumes = np.abs(np.linalg.det(cells))
    stressed = np.array([has_label(a, fidelity, Label.STRESS) for a in members])
    rows = []
    for i in range(0, len(members), 1 + len(members) // _SAMPLE):
        steps = fractions - fractions[i]
        mean_cells = (cells + cells[i]) / 2
        steps[:, :, pbc] -= np.round(steps[:, :, pbc])
        steps = steps @ mean_cells
        steps -= steps.mean(axis=1, keepdims=True)
        close = np.abs(np.linalg.det(mean_cells)) > 0.5 * volumes  # others are turned or exchanged, and may be singular
        strains = np.zeros_like(cells)
        strains[close] = np.linalg.solve(mean_cells[close], (cells - cells[i])[close])
        strains = (strains + strains.transpose(0, 2, 1)) / 2
        # A strain moves the points of a cell of length L by L/√12 times it, root mean square.
        by_strain = np.linalg.norm(strains, axis=(1, 2)) ** 2 * volumes ** (2 / 3) / 12
        apart = np.sqrt((steps**2).sum(axis=2).mean(axis=1) + by_strain)
        usable = (apart > 1e-4) & close & ((by_strain < 1e-12) | (stressed & stressed[i]))
        apart[~usable] = np.inf
        j = int(np.argmin(apart))
        if not apart[j] < _DISTANCE:
            continue
        a, b = members[i], members[j]
        work = -0.5 * float(((forces_of(a, fidelity) + forces_of(b, fidelity)) * steps[j]).sum())
        by_stress, grown = 0.0, 0.0
        if by_strain[j] >= 1e-12:
            virial = [volumes[k] * stress_of(members[k], fidelity) for k in (i, j)]
            by_stress = 0.5 * float(((virial[0] + virial[1]) * strains[j]).sum())
            grown = float(volumes[j] - volumes[i])
        volume = 0.5 * float(volumes[i] + volumes[j])
        rows.append(_Pair(work, by_stress, volume, grown, energy_of(b, fidelity) - energy_of(a, fidelity)))
    return rows
