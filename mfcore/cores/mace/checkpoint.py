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
from mfbench.mfcore.errors import ConfigError

CORE, PACKAGE = "mace", "mace"
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

    core: ClassVar[str] = CORE

    def head(self, asked: str, checkpoint: str) -> str:
        """Return the head to start from.

        Raises
        ------
        ConfigError
            If there are several and none is chosen, or there is none of the name.
        """
        if asked in self.parts:
            return asked
        if not asked and len(self.parts) == 1:
            return self.parts[0]
        named = " or ".join(f"{checkpoint}:{name}" for name in self.parts)
        raise ConfigError(f"core '{CORE}', key 'checkpoint': say which head to start from: {named}.")


def stored(path: Path) -> Stored:
    """Read a checkpoint.

    Raises
    ------
    ConfigError
        If nobody has said to trust it.
    DataError
        If it is none of mace.
    """
    tensors, found = pickled.content_of(path, CORE, PACKAGE, _unpickled)
    return Stored(tensors, found["keys"], tuple(found["heads"]), np.array(found["shift"]), np.array(found["scale"]))


def trust(path: Path) -> None:
    """Unpickle a checkpoint, see :func:`mfbench.mfcore.cores.pickled.trust`."""
    pickled.trust(path, CORE, _unpickled)


def _unpickled(path: Path) -> pickled.Content:
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
    inner = {
        k: np.atleast_1d(np.asarray(found[f"atomic_inter_{k}"], dtype=np.float64))[:, None] for k in ("scale", "shift")
    }
    keys = {name: plain(found.get(name)) for name in _ARGUMENTS} | {"elements": elements}
    return dict(model.state_dict()), {
        "keys": keys,
        "heads": heads,
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
