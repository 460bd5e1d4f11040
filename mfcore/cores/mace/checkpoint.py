"""Checkpoints of MACE: models that its trainer or its foundation models store, which are pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.mace.heads import head_of, spread_head
from mfbench.mfcore.cores.mace.network import PARTS, build, import_mace
from mfbench.mfcore.cores.peer import quiet_building
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint, plain

PACKAGE = "mace"
_ARGUMENTS = (
    "r_max",
    "num_bessel",
    "num_polynomial_cutoff",
    "max_ell",
    "interaction_cls",
    "interaction_cls_first",
    "num_interactions",
    "hidden_irreps",
    "MLP_irreps",
    "edge_irreps",
    "avg_num_neighbors",
    "correlation",
    "radial_MLP",
    "radial_type",
    "distance_transform",
    "pair_repulsion",
    "apply_cutoff",
    "use_reduced_cg",
    "use_so3",
    "use_agnostic_product",
    "use_last_readout_only",
    "use_edge_irreps_first",
    "readout_cls",
)


class Stored(PeerCheckpoint):
    """A checkpoint of MACE; its parts are heads, and keys the arguments of its model."""

    core: ClassVar[str] = "mace"
    package: ClassVar[str] = PACKAGE

    @property
    def part_is(self) -> str:
        """Name that mace has for a part."""
        return "head"

    @classmethod
    def unpickled(cls, path: Path) -> pickled.Content:
        """Read a model that mace has stored."""
        with quiet_building():
            import_mace()
            from mace.tools.scripts_utils import extract_config_mace_model

            model = torch.load(path, map_location="cpu", weights_only=False)
            found = extract_config_mace_model(model)
        if "error" in found:
            raise ValueError(f"{found['error']}, but {type(model).__name__}")
        if found.get("embedding_specs") or (found["gate"] is not None and _name(found["gate"]) != "silu"):
            raise ValueError("it has embedded features, or another activation than silu")
        heads = [str(head) for head in found["heads"]]
        elements = [int(z) for z in found["atomic_numbers"]]
        energies = np.atleast_2d(np.asarray(found["atomic_energies"], dtype=np.float64))
        shape = (len(heads), len(elements))
        inner = {}
        for name in ("scale", "shift"):
            inner[name] = np.atleast_1d(np.asarray(found[f"atomic_inter_{name}"], dtype=np.float64))[:, None]
        keys = {name: plain(found.get(name)) for name in _ARGUMENTS} | {"elements": elements}
        return dict(model.state_dict()), {
            "keys": keys,
            "parts": heads,
            "shift": (np.broadcast_to(energies, shape) + inner["shift"]).tolist(),
            "scale": np.broadcast_to(inner["scale"], shape).tolist(),
        }


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).lower()


def transfer(known: Stored, head: str, network: nn.ModuleDict, n_heads: int) -> None:
    """Give all heads of a network the function of one head of a checkpoint."""
    source = build(known.keys, len(known.parts), evaluated=False)
    wanted = source.state_dict()
    source.load_state_dict({name: known.tensors[name].view(value.shape) for name, value in wanted.items()})
    for name in PARTS:
        if name in network:
            network[name].load_state_dict(source[name].state_dict())
    readouts: Any = (source["readouts"], network["readouts"])
    spread_head(head_of(readouts[0], len(known.parts), known.parts.index(head)), readouts[1], n_heads)
