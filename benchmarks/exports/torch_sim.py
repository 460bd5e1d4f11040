"""Fitted potentials in torch-sim."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mfbench.benchmarks.exports.moved import MovedAtoms, self_contained
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials.potential import Potential

if TYPE_CHECKING:
    from mfbench.benchmarks.exports.torch_sim_model import TorchSimModel


def torch_sim_model(
    source: Potential | str | Path,
    fidelity: str | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
    precision: str | None = None,
    skin: float = 1.0,
    compute_forces: bool = True,
    compute_stress: bool = True,
) -> TorchSimModel:
    """Make a model of torch-sim (a `ModelInterface`) from a fitted potential; Δ on a model is the sum of its networks.

    Units are torch-sim's metal ones: Å, eV, eV/Å, eV/Å³. Neighbour lists are mfbench's, with a skin, so that a step of
    dynamics rarely makes one. Unknown elements and atoms at one place are refused, and what is unlike the training is
    warned of, as by :meth:`mfbench.Potential.calculator`.

    Parameters
    ----------
    source
        Potential, or the folder of one (`mfbench fit`, `mfbench export-model`).
    fidelity
        Which of its fidelities, or "high" / "low"; None is the target.
    device
        Where to compute; None: the GPU if there is one.
    dtype
        Of states and of what comes out; the networks compute in `precision`.
    precision
        "float32" or "float64"; None: that of the training.
    skin
        Of the neighbour lists, Å.
    compute_forces, compute_stress
        What comes out beside energies.

    Raises
    ------
    ConfigError
        If torch-sim is not installed, or the potential does not answer for the fidelity by networks alone.
    DataError
        If the folder holds no potential.
    """
    if find_spec("torch_sim") is None:
        raise ConfigError("torch-sim is not installed: pip install 'mfbench[torch-sim]'.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch-sim uses what torch and vesin call deprecated
        from mfbench.benchmarks.exports.torch_sim_model import TorchSimModel

    where = device if device is not None else "cuda" if torch.cuda.is_available() else "cpu"
    potential = self_contained(source, fidelity, device=where, precision=precision)
    return TorchSimModel(MovedAtoms(potential, skin), dtype, compute_forces, compute_stress)
