"""Scores of a potential on labelled test frames, as rows and their details; nothing is trained here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, stress_of
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.data.splits import group_of, id_of
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.metrics import errors
from mfbench.mfcore.metrics.softening import force_slope, slope_parts

MEV_PER_ATOM = "meV/atom"
MEV_PER_A = "meV/Å"


@dataclass(frozen=True)
class _Answers:
    """Predicted and reference labels of one fidelity: total energies in eV, forces in eV/Å, None where unlabelled."""

    frames: list[Atoms]
    energies: NDArray[np.float64]
    reference_energies: NDArray[np.float64]
    forces: list[np.ndarray | None]
    reference_forces: list[np.ndarray | None]


def evaluate(potential: Any, tests: Mapping[str, Sequence[Atoms]], fidelities: Sequence[str]) -> Evaluation:
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
    Evaluation
        Rows with split, metric (unit in its name), unit, value and n, the number of frames that it is over; a
        metric of which no frame has the label has no row. Details: "blocks", HF energy and force errors by group,
        and "predictions" by frame.
    """
    rows: list[dict[str, Any]] = []
    blocks: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    high = fidelities[-1]
    for split, frames in tests.items():
        scored = [(high, "")]
        for position, low in enumerate(fidelities[:-1]):
            if low in potential.fidelities:
                scored.append((low, "low_" if position == 0 else f"{low}_"))
        for fidelity, prefix in scored:
            answers = _answers(potential, frames, fidelity)
            scores = _score(answers, prefix) if answers.frames else []
            if not prefix:
                scores += _stress_scores(potential, frames, fidelity)
                blocks += [{"split": split} | block for block in _blocks(answers)]
            rows += [
                {"split": split, "metric": metric, "unit": unit, "value": float(value), "n": n}
                for metric, unit, value, n in scores
            ]
            predictions += [{"split": split, "fidelity": fidelity} | line for line in _lines(answers)]
    return Evaluation(rows, {"blocks": blocks, "predictions": predictions})


def _answers(potential: Any, frames: Sequence[Atoms], fidelity: str) -> _Answers:
    """Predict the labels that frames have; forces only where they are needed."""
    kept = [a for a in frames if has_label(a, fidelity, Label.ENERGY) or has_label(a, fidelity, Label.FORCES)]
    lower = getattr(potential, "delta_baseline", {}).get(fidelity)  # its forces are part of the answer
    needed = [fidelity] if lower is None else [fidelity, lower]
    with_forces = [a for a in kept if all(has_label(a, name, Label.FORCES) for name in needed)]
    known = set(map(id, with_forces))
    bare = [a for a in kept if id(a) not in known]
    energies: dict[int, float] = {}
    forces: dict[int, np.ndarray] = {}
    if bare:
        found = potential.predict(bare, fidelity, forces=False, stress=False)
        energies.update(zip(map(id, bare), found.energies, strict=True))
    if with_forces:
        found = potential.predict(with_forces, fidelity, forces=True, stress=False)
        energies.update(zip(map(id, with_forces), found.energies, strict=True))
        forces.update(zip(map(id, with_forces), found.forces, strict=True))
    return _Answers(
        kept,
        np.array([energies[id(a)] for a in kept]),
        np.array([energy_of(a, fidelity) for a in kept]),
        [forces.get(id(a)) for a in kept],
        [forces_of(a, fidelity) if id(a) in forces else None for a in kept],
    )


def _score(answers: _Answers, prefix: str) -> list[tuple[str, str, float, int]]:
    """Return (metric, unit, value, n) of energies and forces."""
    out: list[tuple[str, str, float, int]] = []
    predicted, reference = answers.energies, answers.reference_energies
    n = int((~np.isnan(reference)).sum())
    if n:
        sizes = [len(a) for a in answers.frames]
        mae = errors.energy_mae_mev_per_atom(predicted, reference, sizes)
        out.append((f"{prefix}energy_mae_mev_per_atom", MEV_PER_ATOM, mae, n))
        if not prefix:
            rmse = errors.energy_rmse_mev_per_atom(predicted, reference, sizes)
            counts = composition(answers.frames)
            detrended = errors.energy_detrended_mae_mev_per_atom(predicted, reference, counts)
            out.append(("energy_rmse_mev_per_atom", MEV_PER_ATOM, rmse, n))
            out.append(("energy_detrended_mae_mev_per_atom", MEV_PER_ATOM, detrended, n))
    forces = [f for f in answers.forces if f is not None]
    reference_forces = [f for f in answers.reference_forces if f is not None]
    if forces:
        force_scores: dict[str, Callable[..., float]] = {"force_mae_mev_per_A": errors.force_mae_mev_per_a}
        if not prefix:
            force_scores["force_rmse_mev_per_A"] = errors.force_rmse_mev_per_a
        for name, score in force_scores.items():
            out.append((f"{prefix}{name}", MEV_PER_A, score(forces, reference_forces), len(forces)))
        if not prefix and slope_parts(forces, reference_forces)[:, 1].any():
            out.append(("force_slope", "", force_slope(forces, reference_forces), len(forces)))
    return out


def _stress_scores(potential: Any, frames: Sequence[Atoms], fidelity: str) -> list[tuple[str, str, float, int]]:
    labelled = [a for a in frames if has_label(a, fidelity, Label.STRESS)]
    if not labelled:
        return []
    predicted = potential.predict(labelled, fidelity, forces=False, stress=True).stress
    reference = np.stack([stress_of(a, fidelity) for a in labelled])
    return [("stress_mae_gpa", "GPa", errors.stress_mae_gpa(predicted, reference), len(labelled))]


def _blocks(answers: _Answers) -> list[dict[str, Any]]:
    """Errors of each group, with what they are averaged over: frames, force components, for slopes their squares."""
    places: dict[str, list[int]] = {}
    for place, atoms in enumerate(answers.frames):
        places.setdefault(group_of(atoms), []).append(place)
    out: list[dict[str, Any]] = []
    for group, members in places.items():
        energetic = [i for i in members if not np.isnan(answers.reference_energies[i])]
        if energetic:
            sizes = [len(answers.frames[i]) for i in energetic]
            value = errors.energy_mae_mev_per_atom(
                answers.energies[energetic], answers.reference_energies[energetic], sizes
            )
            out.append({"metric": "energy_mae_mev_per_atom", "group": group, "value": value, "weight": len(energetic)})
        pairs = [
            (f, r)
            for f, r in ((answers.forces[i], answers.reference_forces[i]) for i in members)
            if f is not None and r is not None
        ]
        if pairs:
            value = errors.force_mae_mev_per_a([f for f, _ in pairs], [r for _, r in pairs])
            weight = int(sum((~np.isnan(r)).sum() for _, r in pairs))
            out.append({"metric": "force_mae_mev_per_A", "group": group, "value": value, "weight": weight})
            product, square = slope_parts([f for f, _ in pairs], [r for _, r in pairs]).sum(axis=0)
            if square > 0:
                out.append({"metric": "force_slope", "group": group, "value": product / square, "weight": square})
    return out


def _lines(answers: _Answers) -> list[dict[str, Any]]:
    """Predictions by frame; forces as lists of single-precision numbers."""

    def flat(forces: np.ndarray | None) -> list[float]:
        return [] if forces is None else np.asarray(forces, dtype=np.float32).ravel().tolist()

    return [
        {
            "structure_id": id_of(atoms),
            "group": group_of(atoms),
            "n_atoms": len(atoms),
            "energy_ref_ev": float(answers.reference_energies[i]),
            "energy_pred_ev": float(answers.energies[i]),
            "force_ref": flat(answers.reference_forces[i]),
            "force_pred": flat(answers.forces[i]),
        }
        for i, atoms in enumerate(answers.frames)
    ]
