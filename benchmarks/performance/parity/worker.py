"""The process in which one contender is trained and tested, when it is asked ``{"what": "train"}``.

Its interpreter needs mfbench and the contender's package. The job is that
of :meth:`mfbench.benchmarks.performance.parity.settings.Job.as_dict`, with the name of the file of the data.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mfbench.benchmarks.performance.contenders.registry import trained_type
from mfbench.benchmarks.performance.harness.worker import Handler, serve
from mfbench.benchmarks.performance.measure import versions
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Job
from mfbench.benchmarks.performance.parity.training import Diverged, train


def build(values: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    """Build the contender of a job; a diverged training is a result with status "failed"."""
    job, data = Job.from_dict(values["job"]), ParityData.load(Path(values["data"]))
    kind = trained_type(job.contender)
    torch.manual_seed(job.seed)
    start = time.perf_counter()
    contender = kind(job.network, data.training, **job.core)
    n_layers, channels = kind.shape(job.network)
    about = {
        "n_parameters": contender.n_parameters,
        "n_layers": n_layers,
        "channels": channels,
        "threads": torch.get_num_threads(),
        "versions": versions(("torch", *kind.packages)),
    }

    def report(epoch: int, epochs: int, score: float) -> None:
        left = (time.perf_counter() - start) / epoch * (epochs - epoch)
        sys.stderr.write(
            f"{job.contender}, learning rate {job.learning_rate:g}, seed {job.seed}: epoch {epoch}/{epochs}, "
            f"validation force MAE {score:.2f} meV/Å, {left:.0f} s left\n"
        )
        sys.stderr.flush()

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        try:
            outcome = train(contender, data, job.training, job.learning_rate, job.seed, report)
        except Diverged as error:
            return {"status": "failed", "reason": f"diverged: {error}"}
        return {"status": "ok", **asdict(outcome), "wall_s": time.perf_counter() - start}

    return about, answer


if __name__ == "__main__":
    serve(build)
