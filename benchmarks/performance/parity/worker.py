"""Train one contender in a process of its own: peers set the default dtype, fusers and seeds of their process.

Run by the comparison as ``PYTHON -m mfbench.benchmarks.performance.parity.worker JOB.json DATA.npz RESULT.json``; the
interpreter needs numpy, ase, torch and the contender's package, not mfbench's other dependencies.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mfbench.benchmarks.performance.contenders.base import contender_type
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Job
from mfbench.benchmarks.performance.parity.training import Diverged, train


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def run(job: Job, data: ParityData) -> dict[str, Any]:
    """Train and test; a diverged training is a result with status "failed"."""
    kind = contender_type(job.contender)
    torch.manual_seed(job.seed)
    start = time.perf_counter()
    contender = kind(job.network, data.training, **job.core)
    n_layers, channels = kind.shape(job.network)
    record = {
        "n_parameters": contender.n_parameters,
        "n_layers": n_layers,
        "channels": channels,
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("torch", *kind.packages)},
    }

    def report(epoch: int, epochs: int, score: float) -> None:
        spent = time.perf_counter() - start
        left = spent / epoch * (epochs - epoch)
        sys.stderr.write(
            f"{job.contender}, learning rate {job.learning_rate:g}, seed {job.seed}: epoch {epoch}/{epochs}, "
            f"validation force MAE {score:.2f} meV/Å, {left:.0f} s left\n"
        )
        sys.stderr.flush()

    try:
        outcome = train(contender, data, job.training, job.learning_rate, job.seed, report)
    except Diverged as error:
        return {**record, "status": "failed", "reason": f"diverged: {error}"}
    return {**record, "status": "ok", **asdict(outcome), "wall_s": time.perf_counter() - start}


def main() -> None:
    """Read a job and data, write the result."""
    job_file, data_file, result_file = map(Path, sys.argv[1:4])
    warnings.filterwarnings("ignore")  # the peers' own deprecations
    result = run(Job.from_dict(json.loads(job_file.read_text(encoding="utf-8"))), ParityData.load(data_file))
    result_file.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
