"""A checkpoint on the labels that it is to be fine-tuned to: reference, energies, and slope of forces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms

from mfbench.mfcore.core import Core
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label
from mfbench.mfcore.data.reference_energies import least_squares_energies
from mfbench.mfcore.fidelity import Label, LabelSet
from mfbench.mfcore.metrics.errors import MEV_PER_EV
from mfbench.mfcore.metrics.softening import force_slope, slope_interval
from mfbench.mfcore.potentials.potential import Component, Potential

MOST_FRAMES = 24
LARGE_SHIFT = 0.05
"""eV/atom from which on a mean difference of energies is said to be another reference."""


class Start(NamedTuple):
    """Answers of a checkpoint beside labels.

    Attributes
    ----------
    n_frames
        Number of frames.
    shift_ev_per_atom
        Mean of predicted less labelled energies, with the checkpoint's own reference energies; None without energies.
    left_mev_per_atom, spread_mev_per_atom
        Mean absolute error once reference energies are refitted, and that of a constant (the mean by composition).
    force_slope, low, high
        Slope of predicted on labelled forces, with its 95 % interval over frames; None without forces.
    """

    n_frames: int
    shift_ev_per_atom: float | None
    left_mev_per_atom: float | None
    spread_mev_per_atom: float | None
    force_slope: float | None
    low: float | None
    high: float | None


def examine(core: Core, frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> Start:
    """Compare a network, as its checkpoint left it, with labels of a fidelity.

    Parameters
    ----------
    frames
        Labelled frames, of which some are taken.
    labels
        Those that may be seen.
    """
    chosen = list(frames)[:: max(1, -(-len(frames) // MOST_FRAMES))]
    model = Potential("start", [core], {fidelity: (Component(0, fidelity),)})
    found = model.predict(chosen, fidelity)
    energies: tuple[float | None, float | None, float | None] = (None, None, None)
    known = [i for i, a in enumerate(chosen) if Label.ENERGY in labels and has_label(a, fidelity, Label.ENERGY)]
    if known:
        some = [chosen[i] for i in known]
        sizes = np.array([len(a) for a in some])
        true = np.array([energy_of(a, fidelity) for a in some])
        wrong = found.energies[known] - true
        rest, spread = (
            float(MEV_PER_EV * np.mean(np.abs(y - least_squares_energies(some, y, core.species).of(some)) / sizes))
            for y in (wrong, true)
        )
        energies = (float(np.mean(wrong / sizes)), rest, spread)
    pairs = [
        (predicted, forces_of(a, fidelity))
        for predicted, a in zip(found.forces or [], chosen, strict=True)
        if Label.FORCES in labels and has_label(a, fidelity, Label.FORCES)
    ]
    slope: tuple[float | None, float | None, float | None] = (None, None, None)
    if pairs:
        predicted, reference = ([pair[k] for pair in pairs] for k in (0, 1))
        slope = (force_slope(predicted, reference), *slope_interval(predicted, reference))
    return Start(len(chosen), *energies, *slope)


def sentences(start: Start, checkpoint: str, fidelity: str) -> list[str]:
    """Say what was found, without full stops."""
    said = []
    if start.shift_ev_per_atom is not None and start.left_mev_per_atom is not None:
        shift = start.shift_ev_per_atom
        words = (
            f"{checkpoint} on {start.n_frames} '{fidelity}' frames, untrained: energies are off by {shift:+.3f} eV/atom"
        )
        if abs(shift) > LARGE_SHIFT:
            words += " (another reference, which refitted reference energies take out)"
        words += f", with these refitted by {start.left_mev_per_atom:.3g} meV/atom"
        if start.spread_mev_per_atom is not None:
            words += f", where a constant by composition is off by {start.spread_mev_per_atom:.3g}"
            if start.left_mev_per_atom > start.spread_mev_per_atom:
                words += ": it is no better than that; are elements, units and level of theory right?"
        said.append(words)
    if start.force_slope is not None and start.low is not None and start.high is not None:
        words = (
            f"its forces are {start.force_slope:.2f} ({start.low:.2f} to {start.high:.2f}) times the labels, by the "
            "slope of predicted on labelled ones"
        )
        if not 0.2 < start.force_slope < 5.0:
            words += ": expected near 1; are the forces in eV/Å, and the gradient's negative?"
        elif start.high < 0.95:
            words += ": it is too soft, which fine-tuning has to mend"
        said.append(words)
    return said
