"""Build one contender in a process of its own, then answer one JSON line for each that is read.

Run by the comparison as ``PYTHON -m mfbench.benchmarks.performance.speed.worker JOB.json``: peers set the default
dtype, fusers and threads of their process. Requests are ``{"what": quantity, "threads": n, "seconds": t}`` and, in a
fresh process, ``{"what": "memory", "quantities": [...]}``; standard output carries nothing but answers.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from mfbench.benchmarks.performance.contenders.base import Contender, Labelled
from mfbench.benchmarks.performance.measure import mean_spent, peak_increment_bytes, spent, versions
from mfbench.benchmarks.performance.speed.settings import CONTENDERS, QUANTITIES, Job
from mfbench.benchmarks.performance.workloads import workload

_LEARNING_RATE = 1e-4
_WARM_CALLS = 3  # TorchScript specialises and optimises in the first calls

Call = Callable[[], Any]


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
    if type(value).__name__ == "Batch" and type(value).__module__.startswith("mfcore"):
        return value.to(device, torch.get_default_dtype())
    return value.to(device) if hasattr(value, "to") else value


class Calls:
    """The timed calls of one contender: energies with forces of a fixed network, and one training step.

    The network for inference is another one with the same weights, whose parameters ask for no gradient: that is how
    the packages' own calculators hold it. Graphs are made outside of the timed calls.
    """

    def __init__(self, job: Job, data: Labelled) -> None:
        module, _, name = CONTENDERS[job.contender].place.partition(":")
        self._kind: type[Contender] = getattr(import_module(module), name)
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
        """What a record says of the contender."""
        n_layers, channels = self._kind.shape(self._job.network)
        return {
            "n_parameters": self._trained.n_parameters,
            "n_layers": n_layers,
            "channels": channels,
            "versions": versions(("torch", *self._kind.packages)),
        }


def _use_threads(number: int) -> None:
    torch.set_num_threads(number)
    if "numba" in sys.modules:
        numba = import_module("numba")
        numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))


def _memory(calls: Calls, job: Job, quantities: Sequence[str]) -> dict[str, int]:
    """Peak of each call beyond what the process held with network and batch made, bytes."""
    if job.device != "cpu":
        found = {}
        for what in quantities:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            getattr(calls, what)()
            found[what] = torch.cuda.max_memory_allocated() - before
        return found
    # what is loaded and compiled at the first call is no state: it happens on two cells of 13 atoms or two molecules
    calls.use(labelled("molecules:2" if job.workload.startswith("molecules") else "crystal:2x13"))
    for what in quantities:
        getattr(calls, what)()
    calls.use(labelled(job.workload))
    gc.collect()
    return {what: peak_increment_bytes(getattr(calls, what)) for what in quantities}


def serve(job: Job, requests: TextIO, answer: Callable[[dict[str, Any]], None]) -> None:
    """Build, say so, and answer until there are no more requests."""
    torch.set_num_threads(job.threads)
    start = time.perf_counter()
    calls = Calls(job, labelled(job.workload))
    # some packages set it when they are imported or built
    _use_threads(job.threads)
    answer({"ready": True, "build_s": time.perf_counter() - start, **calls.about()})
    for line in requests:
        request = json.loads(line)
        if request["what"] == "memory":
            answer(_memory(calls, job, request.get("quantities", QUANTITIES)))
        elif request["what"] == "warm":
            wall_s = 0.0
            for threads in request.get("threads", [job.threads]):
                _use_threads(threads)  # another number of threads makes compiled networks compile again
                wall_s += spent(lambda: [getattr(calls, w)() for w in QUANTITIES for _ in range(_WARM_CALLS)]).wall_s
            gc.collect()
            gc.freeze()
            gc.disable()
            answer({"warm_s": wall_s})
        else:
            _use_threads(request["threads"])
            mean, count = mean_spent(getattr(calls, request["what"]), request["seconds"])
            answer({"wall_s": mean.wall_s, "cpu_s": mean.cpu_s, "calls": count})
            gc.collect()


def main() -> None:
    """Serve on standard input and output."""
    job = Job.from_dict(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    warnings.filterwarnings("ignore")  # the peers' own deprecations
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what packages print goes to standard error

    def answer(values: dict[str, Any]) -> None:
        out.write(json.dumps(values) + "\n")
        out.flush()

    serve(job, sys.stdin, answer)


if __name__ == "__main__":
    main()
