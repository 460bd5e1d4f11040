"""Scores of a potential on labelled test frames, as rows; nothing is trained here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from mfcore.data.frames import energy_of, forces_of, has_label, stress_of
from mfcore.fidelity import Label
from mfcore.metrics import errors

MEV_PER_ATOM = "meV/atom"
MEV_PER_A = "meV/Å"


def evaluate(potential: Any, tests: Mapping[str, Sequence[Atoms]], fidelities: Sequence[str]) -> list[dict[str, Any]]:
    """Score a potential on each test split.

    HF energies are scored on all frames; HF forces and stresses on the frames that have them, also when none was
    trained on. If the potential also answers for lower fidelities, its errors there are given as LF retention.

    Parameters
    ----------
    potential
        A `Potential`: `.fidelities` and `.predict(frames, fidelity, forces=..., stress=...)`.
    tests
        Labelled frames by split name.
    fidelities
        Of the task, cheapest first; the last one is the target.

    Returns
    -------
    list of dict
        Rows with split, metric (unit in its name), unit, value and n, the number of frames that it is over.
        A metric of which no frame has the label has no row.
    """
    rows: list[dict[str, Any]] = []
    high = fidelities[-1]
    for split, frames in tests.items():
        scores = _score(potential, frames, high, "")
        for position, low in enumerate(fidelities[:-1]):
            if low in potential.fidelities:
                scores += _score(potential, frames, low, "low_" if position == 0 else f"{low}_")
        rows += [
            {"split": split, "metric": metric, "unit": unit, "value": float(value), "n": n}
            for metric, unit, value, n in scores
        ]
    return rows


def _score(potential: Any, frames: Sequence[Atoms], fidelity: str, prefix: str) -> list[tuple[str, str, float, int]]:
    """Return (metric, unit, value, n) of one fidelity; forces are predicted for the frames that need them only."""
    with_energy = [a for a in frames if has_label(a, fidelity, Label.ENERGY)]
    with_stress = [a for a in frames if has_label(a, fidelity, Label.STRESS)]
    with_forces = [a for a in frames if has_label(a, fidelity, Label.FORCES)]
    without = [a for a in with_energy if not has_label(a, fidelity, Label.FORCES)]
    energies: dict[int, float] = {}
    forces: list[np.ndarray] = []
    if without:
        bare = potential.predict(without, fidelity, forces=False, stress=False)
        energies.update(zip(map(id, without), bare.energies, strict=True))
    if with_forces:
        full = potential.predict(with_forces, fidelity, forces=True, stress=False)
        energies.update(zip(map(id, with_forces), full.energies, strict=True))
        forces = full.forces

    out: list[tuple[str, str, float, int]] = []
    n = len(with_energy)
    if n:
        predicted = np.array([energies[id(a)] for a in with_energy])
        reference = np.array([energy_of(a, fidelity) for a in with_energy])
        sizes = [len(a) for a in with_energy]
        composition = errors.element_counts([a.numbers for a in with_energy])
        detrended = errors.energy_detrended_mae_mev_per_atom(predicted, reference, composition)
        mae = errors.energy_mae_mev_per_atom(predicted, reference, sizes)
        out.append((f"{prefix}energy_mae_mev_per_atom", MEV_PER_ATOM, mae, n))
        if not prefix:
            rmse = errors.energy_rmse_mev_per_atom(predicted, reference, sizes)
            out.append(("energy_rmse_mev_per_atom", MEV_PER_ATOM, rmse, n))
            out.append(("energy_detrended_mae_mev_per_atom", MEV_PER_ATOM, detrended, n))
    if with_forces:
        reference_forces = [forces_of(a, fidelity) for a in with_forces]
        force_scores: dict[str, Callable[..., float]] = {"force_mae_mev_per_A": errors.force_mae_mev_per_a}
        if not prefix:
            force_scores["force_rmse_mev_per_A"] = errors.force_rmse_mev_per_a
        for name, score in force_scores.items():
            out.append((f"{prefix}{name}", MEV_PER_A, score(forces, reference_forces), len(with_forces)))
    if with_stress and not prefix:
        predicted_stress = potential.predict(with_stress, fidelity, forces=False, stress=True).stress
        reference_stress = np.stack([stress_of(a, fidelity) for a in with_stress])
        mae = errors.stress_mae_gpa(predicted_stress, reference_stress)
        out.append(("stress_mae_gpa", "GPa", mae, len(with_stress)))
    return out
