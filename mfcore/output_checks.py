"""Checks of what a core gives: kind and shapes at every call, and once that forces are the energy's slope."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.core import Core, CoreOutput
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import SelfCheckError

_TOLERANCE = 0.05
_OF_ALL_FORCES = 1e-3
"""Of the norm of the forces: a random direction may have next to no slope."""
_STEPS = (1e-3, 1e-2, 3e-2)
"""Å; the longer ones are for a core that computes in single precision whatever it is given."""
_RATTLE = 0.05
"""Å; a frame at rest has no forces that could be wrong."""


def checked_output(name: str, output: CoreOutput, batch: Batch, forces: bool, stress: bool) -> CoreOutput:
    """The output of a core, if it has all that was asked for in the right shapes.

    Parameters
    ----------
    name
        Of the core, for the message.
    output
        What its `forward` gave.
    batch
        What it was given.
    forces, stress
        What was asked for.

    Raises
    ------
    SelfCheckError
        Names the core, what was found and what was expected.
    """
    if not isinstance(output, CoreOutput):
        raise SelfCheckError(
            f"core '{name}': forward gave {_kind(output)}; expected a CoreOutput(energy, forces, stress)."
        )
    frames, atoms = batch.n_atoms.shape[0], batch.positions.shape[0]
    _check("energies", name, output.energy, (frames,), "one of each frame")
    if forces:
        _check("forces", name, output.forces, (atoms, 3), "three components of each atom")
    if stress:
        _check("stress", name, output.stress, (frames, 3, 3), "a matrix of each frame")
    return output


def _check(what: str, name: str, found: Tensor | None, shape: tuple[int, ...], words: str) -> None:
    if found is None:
        raise SelfCheckError(f"core '{name}' gave no {what} although they were asked for; expected {shape}, {words}.")
    if not isinstance(found, Tensor):
        raise SelfCheckError(f"core '{name}' gave {what} as {_kind(found)}; expected a tensor {shape}, {words}.")
    if found.shape != shape or not found.is_floating_point():
        raise SelfCheckError(
            f"core '{name}' gave {what} as {found.dtype} {tuple(found.shape)}; expected real numbers {shape}, {words}."
        )


def _kind(value: object) -> str:
    return f"a {type(value).__name__}" if value is not None else "nothing"


def check_slope(core: Core, store: GraphStore) -> None:
    """Refuse a core of another package whose forces are not −dE/dx.

    The smallest frame is displaced, and its energy is differentiated along one random direction by a central
    difference, in float64 if the core can compute in it. Cores of mfbench have their contract suite instead.

    Parameters
    ----------
    core
        Network; it is copied.
    store
        Frames of the training.

    Raises
    ------
    SelfCheckError
        If the two differ by more than 5 %, or the output is of a wrong kind, or not finite.
    """
    sizes = np.where(store.n_edges.numpy() > 0, store.n_atoms.numpy(), np.iinfo(np.int64).max)
    if type(core).__module__.startswith("mfbench.") or not len(sizes) or not store.n_edges.any():
        return
    batch = store.batch(np.array([int(sizes.argmin())]))
    try:
        _compare(copy.deepcopy(core).eval().double(), batch.to(core.device, torch.float64))
    except (RuntimeError, TypeError, ValueError):  # it computes in one precision only
        _compare(copy.deepcopy(core).eval(), batch.to(core.device, core.dtype))


def _compare(core: Core, batch: Batch) -> None:
    rng = np.random.default_rng(0)
    rattle, direction = (torch.as_tensor(rng.normal(size=batch.positions.shape)).to(batch.positions) for _ in range(2))
    batch = replace(batch, positions=batch.positions + _RATTLE * rattle)
    direction = direction / direction.norm()
    output = checked_output(core.name, core(batch, forces=True), batch, True, False)
    assert output.forces is not None
    energy, forces = float(output.energy.detach().sum()), output.forces.detach().double()
    if not (np.isfinite(energy) and bool(torch.isfinite(forces).all())):
        raise SelfCheckError(f"core '{core.name}' gives no finite numbers before any step.")
    slope = -float((forces * direction.double()).sum())
    differences = []
    for step in _STEPS:
        ends = []
        for sign in (1, -1):
            moved = replace(batch, positions=batch.positions + sign * step * direction)
            output = checked_output(core.name, core(moved, forces=False), moved, False, False)
            ends.append(float(output.energy.detach().double().sum()))
        found = (ends[0] - ends[1]) / (2 * step)
        rounding = 16 * torch.finfo(batch.positions.dtype).eps * max(1.0, abs(energy)) / step
        allowed = _TOLERANCE * max(abs(found), abs(slope)) + _OF_ALL_FORCES * float(forces.norm()) + rounding
        if abs(found - slope) <= allowed:
            return
        differences.append(found)
    raise SelfCheckError(
        f"core '{core.name}': its forces are not the negative gradient of its energy: along a random direction the "
        f"energy of a frame of {len(forces)} atoms rises by {differences[0]:.4g} eV/Å, and its forces say {slope:.4g}."
    )
