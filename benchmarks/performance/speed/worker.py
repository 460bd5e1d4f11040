"""The process of one contender: it is timed, warmed up or measured as it is asked to.

Requests are ``{"what": quantity, "threads": n, "seconds": t}``, ``{"what": "warm", "threads": [...]}`` and, in a fresh
process, ``{"what": "memory", "quantities": [...]}``.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch

from mfbench.benchmarks.performance.harness.worker import Handler, serve
from mfbench.benchmarks.performance.measure import mean_spent, peak_increment_bytes, spent
from mfbench.benchmarks.performance.speed.calls import Calls, labelled
from mfbench.benchmarks.performance.speed.settings import QUANTITIES, Job

_WARM_CALLS = 3  # TorchScript specialises and optimises in the first calls


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
    # loading and compiling at the first call is no state: it happens on two cells of 13 atoms or two molecules
    calls.use(labelled("molecules:2" if job.workload.startswith("molecules") else "crystal:2x13"))
    for what in quantities:
        getattr(calls, what)()
    calls.use(labelled(job.workload))
    gc.collect()
    return {what: peak_increment_bytes(getattr(calls, what)) for what in quantities}


def _warm(calls: Calls, threads: Sequence[int]) -> dict[str, float]:
    wall_s = 0.0
    for number in threads:
        _use_threads(number)  # another number of threads makes compiled networks compile again
        wall_s += spent(lambda: [getattr(calls, w)() for w in QUANTITIES for _ in range(_WARM_CALLS)]).wall_s
    gc.collect()
    gc.freeze()
    gc.disable()
    return {"warm_s": wall_s}


def build(values: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    """Build the contender of a job; see :func:`mfbench.benchmarks.performance.harness.worker.serve`."""
    job = Job.from_dict(values)
    torch.set_num_threads(job.threads)
    start = time.perf_counter()
    calls = Calls(job, labelled(job.workload))
    # some packages set it when they are imported or built
    _use_threads(job.threads)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["what"] == "memory":
            return _memory(calls, job, request.get("quantities", QUANTITIES))
        if request["what"] == "warm":
            return _warm(calls, request.get("threads", [job.threads]))
        _use_threads(request["threads"])
        mean, count = mean_spent(getattr(calls, request["what"]), request["seconds"])
        return {"wall_s": mean.wall_s, "cpu_s": mean.cpu_s, "calls": count}

    return {"build_s": time.perf_counter() - start, **calls.about()}, answer


if __name__ == "__main__":
    serve(build)
