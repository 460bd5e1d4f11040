"""Run jobs in their contenders' interpreters, and choose each contender's learning rate on validation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.parity.data import ParityData
from mfbench.benchmarks.performance.parity.settings import Job, Training
from mfbench.benchmarks.performance.parity.store import add_run, read_runs, run_key
from mfbench.mfcore.errors import DataError, TrainingError

_ROOT = Path(__file__).resolve().parents[3]

#: Name of the core among the contenders.
CORE = "mfcore"


def _train(job: Job, data_file: Path, python: str, threads: int) -> dict[str, Any]:
    """Train in another process; one that breaks is a result with status "failed".

    Raises
    ------
    TrainingError
        If the process was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        job_file, result_file = Path(folder, "job.json"), Path(folder, "result.json")
        job_file.write_text(json.dumps(job.as_dict()), encoding="utf-8")
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            # e3nn below 0.5 reads its constants with torch.load, which newer torch refuses by default
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        }
        command = [
            python,
            "-m",
            "mfbench.benchmarks.performance.parity.worker",
            *map(str, (job_file, data_file, result_file)),
        ]
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode < 0:  # says nothing about the contender, so it is not a result
            raise TrainingError(
                f"the training of {job.contender} was ended by signal {-done.returncode}; "
                "run the same command again to go on."
            )
        if done.returncode or not result_file.exists():
            return {"status": "failed", "reason": f"'{python}' ended with exit code {done.returncode}; see its output"}
        result: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
        return result


def best_rate(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the learning rate of the run with the lowest validation force MAE; None if every run failed."""
    done = [r for r in runs if r["status"] == "ok"]
    if not done:
        return None
    return float(min(done, key=lambda r: r["validation"]["force_mae_mev_per_A"])["job"]["learning_rate"])


def compare(
    contenders: Sequence[str],
    data: ParityData,
    network: Network,
    training: Training,
    rates: Sequence[float],
    seeds: Sequence[int],
    out: Path,
    interpreters: Mapping[str, str],
    threads: int,
    retry_failed: bool,
    core: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Train what the results file lacks, and return the runs of this comparison.

    Every contender is trained with every learning rate and the first seed; the rate with the lowest validation
    force MAE is then trained with the other seeds.

    Parameters
    ----------
    contenders
        Names.
    data, network, training
        The same for all.
    rates, seeds
        Learning rates to choose from; seeds of weights and frame order.
    out
        Results file; each run is added as soon as it is done.
    interpreters
        Python by contender name; the present one where there is none.
    threads
        Of each training process.
    retry_failed
        Whether a run that failed is tried again.
    core
        Settings of the core that are not its defaults.
    """
    data_sha256 = data.sha256()
    with tempfile.TemporaryDirectory() as folder:
        data_file = Path(folder, "data.npz")
        data.save(data_file)

        def run(job: Job) -> list[dict[str, Any]]:
            key = run_key(job, data_sha256)
            stored = read_runs(out).get(key)
            if stored is not None and (stored["status"] == "ok" or not retry_failed):
                return [stored]
            result = _train(job, data_file, interpreters.get(job.contender, sys.executable), threads)
            made = {
                "key": key,
                "job": job.as_dict(),
                "data_sha256": data_sha256,
                "n_frames": {
                    "training": len(data.training),
                    "validation": len(data.validation),
                    "test": len(data.test),
                },
                **result,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            add_run(out, made)
            return [made]

        return _all_runs(contenders, network, training, rates, seeds, core, run)


def stored(
    contenders: Sequence[str],
    network: Network,
    training: Training,
    rates: Sequence[float],
    seeds: Sequence[int],
    out: Path,
    core: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """As :func:`compare`, of what the results file has of the present code; neither data nor packages are needed.

    Raises
    ------
    DataError
        If the results file is missing or has no runs.
    """
    kept = read_runs(out)
    if not kept:
        raise DataError("nothing has been trained.", file=out, hint="Run the comparison without --table-only.")
    data_sha256 = list(kept.values())[-1]["data_sha256"]

    def run(job: Job) -> list[dict[str, Any]]:
        key = run_key(job, data_sha256)
        return [kept[key]] if key in kept else []

    return _all_runs(contenders, network, training, rates, seeds, core, run)


def _all_runs(
    contenders: Sequence[str],
    network: Network,
    training: Training,
    rates: Sequence[float],
    seeds: Sequence[int],
    core: Mapping[str, Any] | None,
    run: Callable[[Job], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """Runs of each contender: all learning rates with the first seed, the best one with the others."""
    runs = []
    for name in contenders:
        own = dict(core or {}) if name == CORE else {}
        tried = [r for rate in rates for r in run(Job(name, rate, seeds[0], network, training, own))]
        chosen = best_rate(tried)
        if chosen is not None:
            tried += [r for seed in seeds[1:] for r in run(Job(name, chosen, seed, network, training, own))]
        runs += tried
    return runs
