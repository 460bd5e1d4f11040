"""Checkpoints: tensors as safetensors with a JSON header; nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.files import write_bytes

FORMAT = 1


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Store tensors with a JSON header."""
    content = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    metadata = {"mfbench": json.dumps({"format": FORMAT, **header})}
    write_bytes(path, save(content, metadata=metadata))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote.

    Raises
    ------
    DataError
        If the file is not one of ours, is damaged, or of another format version.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            header = json.loads((stream.metadata() or {})["mfbench"])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"not a readable checkpoint ({type(error).__name__}).", file=path, hint="Delete it to start anew."
        ) from error
    if header.get("format") != FORMAT:
        raise DataError(f"checkpoint format {header.get('format')}, expected {FORMAT}.", file=path)
    return tensors, header


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State tensors of an optimiser under flat names."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, entry in state.items()
        for name, value in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    full = optimizer.state_dict()
    full["state"] = state
    optimizer.load_state_dict(full)
