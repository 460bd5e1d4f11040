"""Gradients are averaged over processes, also where a process has none for a parameter."""

from __future__ import annotations

import torch

from mfbench.mfcore.training.devices import average_gradients


class TwoProcesses:
    """Stands for a world in which the other process has gradients of 3 everywhere."""

    world_size = 2

    def all_reduce(self, flat: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "mean"
        return (flat + 3.0) / 2


def test_mean_over_processes() -> None:
    one, two = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))
    one.grad = torch.ones(2, 2)
    average_gradients([one, two], TwoProcesses())
    assert torch.equal(one.grad, torch.full((2, 2), 2.0))
    assert torch.equal(two.grad, torch.full((3,), 1.5))
