"""The convolution: products of sender features with harmonics, weighted and summed into receivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

from mfcore.errors import ConfigError
from mfcore.nn.convolution.geometry import EdgeGeometry
from mfcore.nn.convolution.paths import TensorProductPaths
from mfcore.nn.convolution.radial import RadialTable, RadialWeights
from mfcore.nn.convolution.reference import convolve_reference

Backend = Literal["auto", "reference", "fused"]


def convolve(
    paths: TensorProductPaths,
    features: Sequence[Tensor],
    geometry: EdgeGeometry,
    weights: RadialWeights,
    backend: Backend = "auto",
) -> list[Tensor]:
    """Sum over the edges into each atom of weight ⊙ (features[sender] ⊗ harmonics[edge]).

    Not divided by the number of neighbours.

    Parameters
    ----------
    paths
        Which products to take.
    features
        One (n_atoms, 2l+1, channels) per irrep of `paths.input`.
    geometry
        Edges.
    weights
        From :class:`~mfcore.nn.convolution.radial.RadialNetwork`.
    backend
        "reference", "fused", or "auto": fused where it can be used.

    Returns
    -------
    list of Tensor
        One (n_atoms, 2l+1, channels) per irrep of `paths.output_layout`.

    Raises
    ------
    ConfigError
        If the backend is unknown, or is "fused" where it cannot be used (the message says why).
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"convolution backend: expected one of {', '.join(get_args(Backend))}; got '{backend}'.")
    dense = weights.dense(geometry) if isinstance(weights, RadialTable) else weights
    return convolve_reference(paths, features, geometry, dense)


def backend_report() -> dict[str, str]:
    """Which convolution backend is in use, and why: one entry per fact, for people."""
    return {"backend": "reference (plain torch)"}
