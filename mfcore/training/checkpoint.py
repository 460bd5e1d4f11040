"""Checkpoints: tensors as safetensors with a JSON header; nothing is unpickled."""

from __future__ import annotations

import hashlib
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

FORMAT = 2


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Store tensors with a JSON header and the sha256 of both."""
    content = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    text = json.dumps({"format": FORMAT, **header})
    metadata = {"mfbench": text, "sha256": _sum(content, text)}
    write_bytes(path, save(content, metadata=metadata))


def _sum(tensors: Mapping[str, Tensor], header: str) -> str:
    """The sha256 of names, types, shapes and numbers of tensors, and of a header."""
    found = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def load_tensors(path: Path, hint: str = "Delete it to start anew.") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote; `hint` is the advice in messages.

    Raises
    ------
    DataError
        If the file is not one of ours, is damaged or changed, or of another format version.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            text, right = metadata["mfbench"], metadata.get("sha256")
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
        header = json.loads(text)
        found = header.get("format")
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"not a readable checkpoint ({type(error).__name__}).", file=path, hint=hint) from error
    if found != FORMAT:
        raise DataError(f"checkpoint format {found!r:.40}, expected {FORMAT}.", file=path, hint=hint)
    if right != _sum(tensors, text):
        raise DataError("not what was written: its sha256 differs.", file=path, hint=hint)
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
