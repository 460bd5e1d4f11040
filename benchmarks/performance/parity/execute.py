"""Run jobs in their contenders' interpreters, and choose each contender's learning rate on validation."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.harness.process import Worker, WorkerFailed
from mfbench.benchmarks.performance.harness.store import Record, ResultsFile, now
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.keys import run_key
from mfbench.benchmarks.performance.parity.settings import Comparison, Job
from mfbench.mfcore.errors import DataError, TrainingError

_WORKER = "mfbench.benchmarks.performance.parity.worker"


def results_file(path: Path) -> ResultsFile:
    """The finished trainings."""
    return ResultsFile(path, "accuracy comparison", "--out", "runs", needs=("key", "job", "data_sha256"))


def train(job: Job, data_file: Path, python: str, threads: int) -> dict[str, Any]:
    """Train in another process; one that breaks is a result with status "failed".

    Raises
    ------
    TrainingError
        If the process was killed.
    """
    worker = None
    try:
        worker = Worker(_WORKER, {"job": job.as_dict(), "data": str(data_file)}, python, threads, heard=True)
        return {**worker.about, **worker.ask(what="train")}
    except WorkerFailed as error:
        if error.signal is not None:  # says nothing about the contender, so it is not a result
            raise TrainingError(
                f"the training of {job.contender} was ended by signal {error.signal}; "
                "the same command goes on from what is stored."
            ) from None
        return {"status": "failed", "reason": str(error)}
    finally:
        if worker is not None:
            worker.close()


def best_rate(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the learning rate of the run with the lowest validation force MAE; None if every run failed."""
    done = [r for r in runs if r["status"] == "ok"]
    if not done:
        return None
    return float(min(done, key=lambda r: r["validation"]["force_mae_mev_per_A"])["job"]["learning_rate"])


def compare(
    comparison: Comparison,
    data: ParityData,
    out: Path,
    interpreters: Mapping[str, str],
    threads: int = 1,
    retry_failed: bool = False,
) -> list[Record]:
    """Train what the results file lacks, and return the runs of this comparison.

    Every contender is trained with every learning rate and the first seed; the rate with the lowest validation
    force MAE is then trained with the other seeds.

    Parameters
    ----------
    comparison
        Contenders, and what is the same for all.
    data
        Frames.
    out
        Results file; each run is added as soon as it is done.
    interpreters
        Python by contender name; the present one where there is none.
    threads
        Of each training process.
    retry_failed
        Try a run that failed again.
    """
    data_sha256, file = data.sha256(), results_file(out)
    n_frames = {"training": len(data.training), "validation": len(data.validation), "test": len(data.test)}
    with tempfile.TemporaryDirectory() as folder:
        data_file = Path(folder, "data.npz")
        data.save(data_file)

        def run(job: Job) -> list[Record]:
            key = run_key(job, data_sha256)
            stored = file.by_key().get(key)
            if stored is not None and (stored["status"] == "ok" or not retry_failed):
                return [stored]
            result = train(job, data_file, interpreters.get(job.contender, sys.executable), threads)
            made = {"key": key, "job": job.as_dict(), "data_sha256": data_sha256, "n_frames": n_frames}
            made |= {**result, "date": now()}
            file.keep(made)
            return [made]

        return _all_runs(comparison, run)


def stored(comparison: Comparison, out: Path) -> list[Record]:
    """As :func:`compare`, of what the results file has; neither data nor packages are needed.

    Of a training that was stored more than once, that of the present code counts, else the latest.

    Raises
    ------
    DataError
        If the results file is missing or has no runs.
    """
    kept = results_file(out).read()
    if not kept:
        raise DataError("nothing has been trained.", file=out, hint="Run the comparison without --table-only.")
    data_sha256 = kept[-1]["data_sha256"]

    def run(job: Job) -> list[Record]:
        same = [r for r in kept if r["job"] == job.as_dict() and r["data_sha256"] == data_sha256]
        return sorted(same, key=lambda r: is_of_present_code(r))[-1:]

    return _all_runs(comparison, run)


def is_of_present_code(run: Mapping[str, Any]) -> bool:
    """Say if a run was made by the code that there is now."""
    return bool(run["key"] == run_key(Job.from_dict(run["job"]), run["data_sha256"]))


def _all_runs(comparison: Comparison, run: Callable[[Job], list[Record]]) -> list[Record]:
    """Runs of each contender: all learning rates with the first seed, the best one with the others."""
    runs = []
    for name in comparison.contenders:
        tried = [r for rate in comparison.rates for r in run(comparison.job(name, rate, comparison.seeds[0]))]
        best = best_rate(tried)
        if best is not None:
            tried += [r for seed in comparison.seeds[1:] for r in run(comparison.job(name, best, seed))]
        runs += tried
    return runs
