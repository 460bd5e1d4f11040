"""SevenNet's network, built by its package and divided into trunk and readout."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mfbench.mfcore.cores.fused_products import fuse
from mfbench.mfcore.cores.peer import fix_constants, quiet_building
from mfbench.mfcore.cores.sevennet.config import SevenNetConfig

READOUTS = ("reduce_input_to_hidden", "reduce_hidden_to_energy", "readout_FCN")
#: Modules that are done outside: one-hots are made in the core's dtype, E0, scales and forces as for any core.
LEFT_OUT = ("onehot_idx_to_onehot", "one_hot_modality", "rescale_atomic_energy", "reduce_total_enegy", "force_output")
MODALITY = (
    "use_modal_self_inter_intro",
    "use_modal_self_inter_outro",
    "use_modal_output_block",
)
"""Places where the modality enters, as Kim et al. (JACS 2025, arXiv 2409.07947) have them."""


def model_keys(config: SevenNetConfig, species: Sequence[int], mean_neighbours: float) -> dict[str, Any]:
    """Keys of sevenn's model, and `elements`: atomic numbers in the order of its species."""
    if config.architecture is not None:
        return dict(config.architecture)
    return {
        "cutoff": config.cutoff,
        "channel": config.channels,
        "lmax": config.lmax,
        "is_parity": config.parity,
        "num_convolution_layer": config.n_layers,
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": config.n_bessel},
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": config.envelope_power},
        "weight_nn_hidden_neurons": list(config.radial_hidden),
        "self_connection_type": config.self_connection,
        "conv_denominator": mean_neighbours**config.neighbour_power,
        "elements": list(species),
    }


def build(keys: Mapping[str, Any], n_modalities: int = 0, evaluated: bool = True) -> dict[str, nn.Module]:
    """Modules of the network by their names in sevenn, without those that are done outside.

    Parameters
    ----------
    keys
        As of :func:`model_keys`; what is missing has sevenn's default.
    n_modalities
        0: it has none.
    evaluated
        False: it is made for its weights alone.
    """
    with quiet_building(evaluated):
        from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
        from sevenn.model_build import build_E3_equivariant_model

        own = {key: value for key, value in keys.items() if key != "elements"}
        given = copy.deepcopy(DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG) | copy.deepcopy(own)
        given |= {
            "_number_of_species": len(keys["elements"]),
            "_type_map": {number: place for place, number in enumerate(keys["elements"])},
            "shift": 0.0,
            "scale": 1.0,
            "use_modality": bool(n_modalities),
        }
        if n_modalities:
            given |= {
                "_number_of_modalities": n_modalities,
                "_modal_map": {str(number): number for number in range(n_modalities)},
                "use_modal_wise_shift": False,
                "use_modal_wise_scale": False,
            }
            if not any(given.get(key) for key in MODALITY):
                given |= dict.fromkeys(MODALITY, True)
        made = build_E3_equivariant_model(given)
    fix_constants(made)
    fuse(made)
    return {name: module for name, module in made.named_children() if name not in LEFT_OUT}


def run(modules: nn.ModuleDict, data: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pass the data of a graph through modules, in their order."""
    for module in modules.values():
        data = module(data)
    return data
