"""How many operations and bytes a second the core's convolution reaches, beside a matrix product and a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mfbench.benchmarks.performance.contenders.base import Labelled
from mfbench.benchmarks.performance.contenders.registry import CORE
from mfbench.benchmarks.performance.measure import Spent, mean_spent
from mfbench.benchmarks.performance.scaling.flops import (
    ENERGY_FORCES,
    TRAINING_STEP,
    bytes_of,
    flops_of_pass,
    flops_per_edge,
)
from mfbench.benchmarks.performance.speed.settings import BASE, Job
from mfbench.benchmarks.performance.workloads import workload

#: Rows and columns of the float32 matrices of the product.
GEMM_SIZE = 1024
#: Bytes that the copy reads, and writes: beyond any cache.
COPY_BYTES = 256 * 2**20
WORKLOAD = "crystal:416"


class Measured:
    """A timed call with what it computes and moves; the fastest round counts.

    Parameters
    ----------
    call
        To time.
    flops, n_bytes
        Of one call; 0 where it is not counted.
    """

    def __init__(self, call: Callable[[], Any], flops: float, n_bytes: float = 0.0) -> None:
        self._call, self.flops, self.n_bytes = call, float(flops), float(n_bytes)
        self.times: list[Spent] = []

    def again(self, seconds: float) -> None:
        """Time it once more."""
        self.times.append(mean_spent(self._call, seconds)[0])

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"flops": self.flops, "bytes": self.n_bytes, "cpu_s": [t.cpu_s for t in self.times]}


def _dense_flops(call: Callable[[], Any]) -> int:
    """Operations of all matrix products that torch is asked for; generated kernels are unknown to it."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def gemm() -> Measured:
    """A float32 matrix product."""
    a, b = torch.rand(GEMM_SIZE, GEMM_SIZE), torch.rand(GEMM_SIZE, GEMM_SIZE)
    out = torch.empty(GEMM_SIZE, GEMM_SIZE)
    return Measured(lambda: torch.mm(a, b, out=out), 2 * GEMM_SIZE**3, 3 * 4 * GEMM_SIZE**2)


def copy() -> Measured:
    """A copy in memory; bytes read and bytes written both count."""
    source = torch.ones(COPY_BYTES // 4)
    target = torch.zeros(COPY_BYTES // 4)
    return Measured(lambda: target.copy_(source), 0, 2 * COPY_BYTES)


def whole_passes() -> dict[str, Measured]:
    """Energy with forces of the frozen core, and a training step: convolutions and matrix products together."""
    from mfbench.benchmarks.performance.speed.calls import Calls, labelled

    calls = Calls(Job(CORE, WORKLOAD, BASE, 1), labelled(WORKLOAD))
    layers = [layer.instructions for layer in calls.trained_module.layers]
    made = {}
    for name, kernels in (("energy_forces", ENERGY_FORCES), ("training_step", TRAINING_STEP)):
        call = getattr(calls, name)
        call()
        convolutions = flops_of_pass(layers, calls.n_edges, kernels)
        made[name] = Measured(call, convolutions + _dense_flops(call))
    return made


def convolutions() -> dict[str, Measured]:
    """The convolution of a middle layer alone: forward, and forward with the gradients that forces need."""
    from mfbench.benchmarks.performance.contenders.mfcore import MfCore
    from mfbench.mfcore.cores.equivariant.layers import Interaction
    from mfbench.mfcore.ops.convolution.op import convolve
    from mfbench.mfcore.ops.edges import Edges
    from mfbench.mfcore.ops.geometry.op import edge_geometry

    frames = workload(WORKLOAD)
    data = Labelled(frames, np.zeros(len(frames)), [np.ones((len(a), 3)) for a in frames])
    torch.manual_seed(0)
    core = MfCore(BASE, data)
    batch, module = core.prepare(frames)(range(len(frames))), core.module
    middle = module.layers[1]
    assert isinstance(middle, Interaction)
    n_atoms, paths = len(batch.positions), middle.instructions
    vectors = batch.positions[batch.sender] - batch.positions[batch.receiver] + batch.shift
    with torch.no_grad():
        edges = Edges(n_atoms, batch.sender, batch.receiver, batch.row_pointer)
        geometry = edge_geometry(vectors, edges, BASE.lmax, module.radial_settings)
        table = middle.radial.table()
    features = [torch.randn(n_atoms, 2 * degree + 1, channels) for degree, _, channels in paths.input]
    n_edges, rows = len(vectors), table.values.shape[0]

    def forward() -> list[torch.Tensor]:
        return convolve(paths, features, geometry, table, "cpp")

    with torch.no_grad():
        cotangents = [torch.randn_like(out) for out in forward()]
    assert geometry.spline is not None
    inputs = [geometry.harmonics, geometry.spline, *features]

    def plain() -> None:
        with torch.no_grad():
            forward()

    def with_gradients() -> None:
        for tensor in inputs:
            tensor.requires_grad_(True)
        torch.autograd.grad(forward(), inputs, cotangents)
        for tensor in inputs:
            tensor.requires_grad_(False)

    ahead = n_edges * flops_per_edge(paths, "forward"), bytes_of(paths, "forward", n_atoms, n_edges, rows)
    back = (
        n_edges * flops_per_edge(paths, "backward_geometry"),
        bytes_of(paths, "backward_geometry", n_atoms, n_edges, rows),
    )
    plain()
    with_gradients()
    return {
        "convolution_forward": Measured(plain, *ahead),
        "convolution_forward_and_backward": Measured(with_gradients, ahead[0] + back[0], ahead[1] + back[1]),
    }


def roofline(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure everything in every round, at one thread.

    Raises
    ------
    ConfigError
        If the generated kernels cannot be used here: others do more operations than are counted.
    """
    torch.set_num_threads(1)
    measured = {"gemm": gemm(), "copy": copy(), **convolutions(), **whole_passes()}
    for _ in range(rounds):
        for one in measured.values():
            one.again(seconds)
    return {
        "workload": WORKLOAD,
        "gemm_size": GEMM_SIZE,
        "copy_bytes": COPY_BYTES,
        "rows": {name: one.as_dict() for name, one in measured.items()},
    }


def bound_s(flops: float, n_bytes: float, gemm_rate: float, copy_rate: float) -> float:
    """Seconds that work takes at least on a machine of these rates (1/s): the roofline."""
    return max(flops / gemm_rate, n_bytes / copy_rate)
