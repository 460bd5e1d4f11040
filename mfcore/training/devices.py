"""Device, threads and several processes, through lightning's Fabric."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Of weights and geometry, by precision; the first name of a dtype is what a saved potential says.
DTYPES = {"float32": torch.float32, "float64": torch.float64, "mixed": torch.float32}


@lru_cache(maxsize=4)
def fabric(accelerator: str = "auto", devices: int = 1) -> Fabric:
    """The launched Fabric of this process; the same one for the same arguments.

    Gradients are averaged by the trainer itself (one flat all-reduce per step) and the network is not
    wrapped: the forces are a derivative taken inside the forward pass, which gradient hooks of a
    data-parallel wrapper do not see.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    # one device takes no part in what a batch system starts: its variables say nothing about this process
    alone = LightningEnvironment() if devices == 1 else None
    made = Fabric(accelerator=accelerator, devices=devices, strategy="ddp" if devices > 1 else "auto", plugins=alone)
    made.launch()
    return made


def average_gradients(parameters: list[torch.nn.Parameter], world: Fabric) -> None:
    """Replace each gradient by its mean over the processes; without effect for a single one."""
    if world.world_size == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = world.all_reduce(torch.cat([g.reshape(-1) for g in gradients]), reduce_op="mean")
    assert isinstance(flat, torch.Tensor)
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
