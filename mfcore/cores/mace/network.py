"""MACE's network, built by its package; what is done outside of it is left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mfbench.mfcore.cores.fused_products import fuse
from mfbench.mfcore.cores.mace.config import MaceConfig
from mfbench.mfcore.cores.peer import fix_constants, quiet_building

PARTS = ("node_embedding", "spherical_harmonics", "radial_embedding", "interactions", "products", "pair_repulsion_fn")
"""Parts of the trunk; `readouts` are the rest."""

_CLASSES = ("interaction_cls", "interaction_cls_first", "readout_cls")
_IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")
_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def import_mace() -> Any:
    """Return mace's modules, without the setting by which importing mace makes torch.load unpickle anything."""
    before = os.environ.get(_UNSAFE)
    from mace import modules

    if before is None:
        os.environ.pop(_UNSAFE, None)
    return modules


def model_keys(config: MaceConfig, species: Sequence[int], mean_neighbours: float) -> dict[str, Any]:
    """Arguments of mace's model as JSON values, and `elements`: atomic numbers in the order of its elements."""
    if config.architecture is not None:
        return dict(config.architecture)
    degrees = range(config.hidden_lmax + 1)
    hidden = "+".join(f"{config.channels}x{degree}{'eo'[degree % 2]}" for degree in degrees)
    block = "RealAgnosticResidualInteractionBlock"
    return {
        "r_max": config.cutoff,
        "num_bessel": config.n_bessel,
        "num_polynomial_cutoff": config.envelope_power,
        "max_ell": config.lmax,
        "interaction_cls": block,
        "interaction_cls_first": block,
        "num_interactions": config.n_layers,
        "hidden_irreps": hidden,
        "MLP_irreps": f"{config.readout_hidden}x0e",
        "avg_num_neighbors": mean_neighbours,
        "correlation": config.correlation,
        "radial_MLP": list(config.radial_hidden),
        "elements": list(species),
    }


def build(keys: Mapping[str, Any], n_heads: int = 1, evaluated: bool = True) -> nn.ModuleDict:
    """Modules of the network by mace's names.

    Parameters
    ----------
    keys
        As of :func:`model_keys`.
    n_heads
        Number of readouts.
    evaluated
        False: it is made for its weights alone.
    """
    with quiet_building(evaluated):
        modules = import_mace()
        from e3nn import o3

        given = {key: value for key, value in keys.items() if key != "elements" and value is not None}
        given |= {key: getattr(modules, given[key]) for key in _CLASSES if key in given}
        given |= {key: o3.Irreps(given[key]) for key in _IRREPS if key in given}
        made = modules.ScaleShiftMACE(
            **given,
            num_elements=len(keys["elements"]),
            atomic_numbers=keys["elements"],
            atomic_energies=np.zeros((n_heads, len(keys["elements"]))),
            gate=torch.nn.functional.silu,
            atomic_inter_scale=[1.0] * n_heads,
            atomic_inter_shift=[0.0] * n_heads,
            heads=[str(number) for number in range(n_heads)],
        )
    fix_constants(made)
    fuse(made)
    parts = {name: module for name, module in made.named_children() if name in (*PARTS, "readouts")}
    return nn.ModuleDict(parts)
