"""The timed calls of one contender: energies with forces, and a training step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mfbench.benchmarks.performance.contenders.base import Contender, Labelled
from mfbench.benchmarks.performance.contenders.registry import timed_type
from mfbench.benchmarks.performance.measure import versions
from mfbench.benchmarks.performance.speed.settings import Job
from mfbench.benchmarks.performance.workloads import workload

_LEARNING_RATE = 1e-4


def labelled(name: str) -> Labelled:
    """Return a workload with random labels: they cost what real ones do."""
    frames = workload(name)
    rng = np.random.default_rng(1)
    return Labelled(frames, rng.standard_normal(len(frames)), [rng.standard_normal((len(a), 3)) for a in frames])


def _moved(value: Any, device: str) -> Any:
    """Return a contender's batch on a device."""
    if device == "cpu":
        return value
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, device) for item in value)
    if type(value).__name__ == "Batch" and type(value).__module__.startswith("mfbench."):
        return value.to(device, torch.get_default_dtype())
    return value.to(device) if hasattr(value, "to") else value


class Calls:
    """The timed calls of one contender: energies with forces of a fixed network, and one training step.

    The network for inference is another one with the same weights, whose parameters ask for no gradient: that is how
    the packages' own calculators hold it. Graphs are made outside of the timed calls.
    """

    def __init__(self, job: Job, data: Labelled) -> None:
        self._kind = timed_type(job.contender)
        self._job, self._data = job, data
        self._fixed, self._trained = self._make(), self._make()
        fix = getattr(self._fixed, "fix", None)
        if fix is not None:
            fix()
        else:
            self._fixed.module.eval().requires_grad_(False)
        parameters = [p for p in self._trained.module.parameters() if p.requires_grad]
        self._parameters = parameters
        self._optimiser = torch.optim.Adam(parameters, lr=_LEARNING_RATE, fused=True)
        self.use(data)

    def _make(self) -> Contender:
        torch.manual_seed(0)
        made = self._kind(self._job.network, self._data)
        made.module.to(self._job.device)
        return made

    def use(self, data: Labelled) -> None:
        """Take other frames."""
        numbers = range(len(data))
        device, real = self._job.device, torch.get_default_dtype()
        self._batches = {
            contender: _moved(contender.prepare(data.frames)(numbers), device)
            for contender in (self._fixed, self._trained)
        }
        self._n_atoms = torch.tensor([float(len(a)) for a in data.frames], device=device, dtype=real)
        self._energies = torch.as_tensor(data.energies, device=device, dtype=real)
        self._forces = torch.as_tensor(np.concatenate(list(data.forces)), device=device, dtype=real)

    @property
    def trained_module(self) -> Any:
        """The network of the training step."""
        return self._trained.module

    @property
    def n_edges(self) -> int:
        """Edges of the core's batch."""
        return int(self._batches[self._trained].sender.shape[0])

    def energy_forces(self) -> None:
        """Energies and forces of the batch."""
        self._fixed.energy_forces(self._batches[self._fixed], training=False)
        self._wait()

    def training_step(self) -> None:
        """One step of Adam on the mean squared errors of energies per atom and of force components."""
        self._optimiser.zero_grad(set_to_none=True)
        energies, forces = self._trained.energy_forces(self._batches[self._trained], training=True)
        error = (energies.to(self._energies.dtype) - self._energies) / self._n_atoms
        loss = error.square().mean() + (forces - self._forces).square().mean()
        loss.backward(inputs=self._parameters)
        self._optimiser.step()
        self._wait()

    def _wait(self) -> None:
        if self._job.device != "cpu":
            torch.cuda.synchronize()

    def about(self) -> dict[str, Any]:
        """The contender's part of a record: size, shape and versions."""
        n_layers, channels = self._kind.shape(self._job.network)
        return {
            "n_parameters": self._trained.n_parameters,
            "n_layers": n_layers,
            "channels": channels,
            "versions": versions(("torch", *self._kind.packages)),
        }
