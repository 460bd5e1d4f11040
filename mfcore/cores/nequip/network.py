"""NequIP's network, built by its package; what is done outside of it is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ase.data import chemical_symbols
from torch import nn

from mfbench.mfcore.cores.nequip.config import NequIPConfig
from mfbench.mfcore.cores.peer import fix_constants, quiet_building

READOUT = "per_atom_energy_readout"
#: Scales, shifts and the sum over atoms are done as for any core.
LEFT_OUT = ("per_type_energy_scale_shift", "total_energy_sum")
FIELD = "dataset"
"""Field of a graph that nequip's categorical embedding is of."""


def build(
    config: NequIPConfig, species: Sequence[int], n_embedded: int, mean_neighbours: float
) -> dict[str, nn.Module]:
    """Modules of the network by nequip's names, in their order.

    Parameters
    ----------
    n_embedded
        Number of fidelities that a learned vector tells apart; 0: none.
    """
    given: dict[str, Any] = {}
    if n_embedded:
        field = {"field": FIELD, "num_features": config.fidelity_channels, "min": 0, "max": n_embedded - 1}
        given["categorical_graph_field_embed"] = [field]
    with quiet_building():
        from nequip.model import NequIPGNNModel
        from nequip.model.utils import _IS_BUILDING_MODEL
        from nequip.utils import conditional_torchscript_mode

        # as a part of another model, it is built without nequip's global state, which sets seed and dtype for all
        inner = _IS_BUILDING_MODEL.set(True)
        try:
            with conditional_torchscript_mode(False):
                made = NequIPGNNModel(
                    r_max=config.cutoff,
                    type_names=[chemical_symbols[z] for z in species],
                    num_layers=config.n_layers,
                    l_max=config.lmax,
                    parity=config.parity,
                    num_features=config.channels,
                    num_bessels=config.n_bessel,
                    radial_mlp_depth=config.radial_depth,
                    radial_mlp_width=config.radial_width,
                    polynomial_cutoff_p=config.envelope_power,
                    avg_num_neighbors=mean_neighbours,
                    per_type_energy_scales=1.0,
                    per_type_energy_shifts=0.0,
                    **given,
                )
        finally:
            _IS_BUILDING_MODEL.reset(inner)
    energies = made.func
    fix_constants(energies)
    return {name: module for name, module in energies.named_children() if name not in LEFT_OUT}
