"""NequIP's network, built by its package; what is done outside of it is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ase.data import chemical_symbols
from torch import nn

from mfbench.mfcore.cores.fused_products import fuse
from mfbench.mfcore.cores.nequip.config import NequIPConfig
from mfbench.mfcore.cores.peer import fix_constants, quiet_building
from mfbench.mfcore.errors import ConfigError

READOUT = "per_atom_energy_readout"
PAIR = "pair_potential"
SCALE_SHIFT = "per_type_energy_scale_shift"
#: Scales, shifts and the sum over atoms are done as for any core.
LEFT_OUT = (SCALE_SHIFT, "total_energy_sum")
FIELD = "dataset"
"""Field of a graph that nequip's categorical embedding is of."""
BUILDERS = ("NequIPGNNModel", "FullNequIPGNNModel", "PresetNequIPGNNModel")
"""Functions of nequip.model that build networks of this kind."""
ZBL = "nequip.nn.pair_potential.ZBL"
"""The only pair potential that is built: nequip makes whatever object a description names."""


def model_keys(config: NequIPConfig, species: Sequence[int], n_embedded: int, mean_neighbours: float) -> dict[str, Any]:
    """Name of nequip's builder, its arguments as JSON values, and `elements`: atomic numbers of its types.

    Parameters
    ----------
    n_embedded
        Number of fidelities that a learned vector tells apart; 0: none.
    """
    if config.architecture is not None:
        return dict(config.architecture)
    keys: dict[str, Any] = {
        "builder": BUILDERS[0],
        "elements": list(species),
        "r_max": config.cutoff,
        "num_layers": config.n_layers,
        "l_max": config.lmax,
        "parity": config.parity,
        "num_features": config.channels,
        "num_bessels": config.n_bessel,
        "radial_mlp_depth": config.radial_depth,
        "radial_mlp_width": config.radial_width,
        "polynomial_cutoff_p": config.envelope_power,
        "avg_num_neighbors": mean_neighbours,
        "per_type_energy_scales": 1.0,
        "per_type_energy_shifts": 0.0,
    }
    if n_embedded:
        field = {"field": FIELD, "num_features": config.fidelity_channels, "min": 0, "max": n_embedded - 1}
        keys["categorical_graph_field_embed"] = [field]
    return keys


def build(keys: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Modules of the network by nequip's names, in their order, without those that are done outside.

    Parameters
    ----------
    keys
        As of :func:`model_keys`.

    Raises
    ------
    ConfigError
        If it is of another kind.
    """
    energies = build_whole(keys)
    fix_constants(energies)
    fuse(energies)
    return {name: module for name, module in energies.named_children() if name not in LEFT_OUT}


def build_whole(keys: Mapping[str, Any]) -> nn.Module:
    """The network as nequip builds it; its children are the modules from the embedding to the sum of energies."""
    given = {key: value for key, value in keys.items() if key not in ("builder", "elements")}
    pair = (given.get(PAIR) or {"_target_": ZBL}).get("_target_")
    if keys["builder"] not in BUILDERS or pair != ZBL:
        found = keys["builder"] if keys["builder"] not in BUILDERS else f"pair potential {pair}"
        raise ConfigError(f"core 'nequip': found {found}; expected {' or '.join(BUILDERS)}, with ZBL or without it.")
    with quiet_building():
        from nequip import model
        from nequip.model.utils import _IS_BUILDING_MODEL
        from nequip.utils import conditional_torchscript_mode

        # as a part of another model, it is built without nequip's global state, which sets seed and dtype for all
        inner = _IS_BUILDING_MODEL.set(True)
        try:
            with conditional_torchscript_mode(False):
                made = getattr(model, keys["builder"])(
                    type_names=[chemical_symbols[z] for z in keys["elements"]], **given
                )
        finally:
            _IS_BUILDING_MODEL.reset(inner)
    energies: nn.Module = made.func
    return energies
