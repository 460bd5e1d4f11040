"""Checkpoints of SevenNet: those that come with sevenn, and files of its trainer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.peer import quiet_building
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint, plain
from mfbench.mfcore.cores.sevennet.network import READOUTS, build

PACKAGE = "sevenn"
NAMED = {
    "SevenNet-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "SevenNet-0_22May2024": "SevenNet_0__22May2024/checkpoint_sevennet_0.pth",
    "SevenNet-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
    "SevenNet-MF-0": "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
}
"""Checkpoints in the wheel of sevenn."""


class Stored(PeerCheckpoint):
    """A checkpoint of SevenNet; its parts are modalities."""

    core: ClassVar[str] = "sevennet"
    package: ClassVar[str] = PACKAGE
    cutoff_key: ClassVar[str] = "cutoff"

    @property
    def part_is(self) -> str:
        """Name that sevenn has for a part."""
        return "modality"

    @classmethod
    def named_files(cls) -> dict[str, Path]:
        """Files of the checkpoints that come with the installed sevenn, by name."""
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            return {}
        folder = Path(spec.origin).parent / "pretrained_potentials"
        return {name: folder / file for name, file in NAMED.items() if (folder / file).exists()}

    @classmethod
    def unpickled(cls, path: Path) -> pickled.Content:
        """Read a file of sevenn's trainer."""
        with quiet_building():
            from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
            from sevenn.checkpoint import SevenNetCheckpoint

            found = SevenNetCheckpoint(path)
            config = found.config
            tensors = found.build_model().state_dict()
        type_map, modal_map = config["_type_map"], config.get("_modal_map") or {}
        if not config.get("use_modality"):
            modal_map = {}
        elements = sorted(type_map, key=type_map.__getitem__)
        keys = {key: config[key] for key in DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG if key in config}
        accelerated = ("use_flash_tp", "use_oeq", "cuequivariance_config", "conv_denominator")
        keys = {key: value for key, value in keys.items() if key not in accelerated}
        keys |= {"conv_denominator": 1.0, "elements": [int(z) for z in elements]}  # the weights have the denominators
        rows = max(1, len(modal_map))
        energies = {}
        for name in ("shift", "scale"):
            value = tensors.pop(f"rescale_atomic_energy.{name}").double()
            energies[name] = torch.broadcast_to(value, (rows, len(elements))).tolist()
        modalities = sorted(modal_map, key=modal_map.__getitem__)
        return tensors, {"keys": plain(keys), "parts": modalities, **energies}

    def architecture(self) -> dict[str, Any]:
        """Keys of a network with the function of one modality, whose row is then a bias."""
        return self.keys | ({"use_bias_in_linear": True} if self.parts else {})


def transfer(known: Stored, modality: str, trunk: nn.ModuleDict, readouts: Sequence[nn.ModuleDict]) -> None:
    """Give a network the function of one modality of a checkpoint, whatever its fidelities are."""
    n_modalities = len(known.parts)
    source = build(known.keys, n_modalities, evaluated=False)
    for name, module in source.items():
        prefix = f"{name}."
        own = {key.removeprefix(prefix): value for key, value in known.tensors.items() if key.startswith(prefix)}
        module.load_state_dict(own)
        row = known.parts.index(modality) if getattr(module, "num_modalities", 0) else None
        for target in [readout[name] for readout in readouts] if name in READOUTS else [trunk[name]]:
            if hasattr(module, "linear") and hasattr(module, "num_modalities"):
                _transfer_linear(module, target, row)
            else:
                target.load_state_dict(module.state_dict())


@torch.no_grad()
def _transfer_linear(source: Any, target: Any, row: int | None) -> None:
    """Give a linear map the effective weights of another one, and the row of its modality as bias.

    Path weights differ: they have the number of inputs, and a modality is one-hot inputs behind the others.
    """
    old, new = source.linear, target.linear
    weights = {(i.i_in, i.i_out): (n, i.path_weight) for n, i in enumerate(old.instructions) if i.i_in >= 0}
    n_inputs = len(source._irreps_in_wo_modal)
    for number, instruction in enumerate(new.instructions):
        if instruction.i_in < 0:
            continue
        view = new.weight_view_for_instruction(number)
        if instruction.i_in >= n_inputs:
            view.zero_()  # all fidelities start alike
            continue
        found, path_weight = weights[instruction.i_in, instruction.i_out]
        view.copy_(old.weight_view_for_instruction(found) * (path_weight / instruction.path_weight))
    if not new.bias.numel():
        return
    bias = old.bias.clone() if old.bias.numel() else torch.zeros_like(new.bias)
    if row is not None:
        start = 0
        for instruction in (i for i in new.instructions if i.i_in < 0):
            size = new.irreps_out[instruction.i_out].dim
            found, path_weight = weights[n_inputs, instruction.i_out]
            bias[start : start + size] += old.weight_view_for_instruction(found)[row] * path_weight
            start += size
    new.bias.copy_(bias)
