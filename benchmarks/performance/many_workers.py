"""Many short runs on many workers: throughput, overhead and memory of the Dask executor, with runs that only sleep.

``python -m mfbench.benchmarks.performance.many_workers --longest 30 --out results/performance/many_workers.json`` runs
a scheduler, all workers, and the command's side, in a process each. Sleeps have the distribution of stored training
times, scaled to a short mean, so that the overhead shows. The command stores what comes back.
"""

from __future__ import annotations

import argparse
import heapq
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mfbench.benchmarks.harness.executors.base import Done, Job, Tell
from mfbench.benchmarks.harness.keys import digest
from mfbench.benchmarks.harness.store import PackedRun, RunStore
from mfbench.benchmarks.performance.harness.store import write_json
from mfbench.benchmarks.performance.measure import origin

WORKERS = (2, 4, 8, 16, 32, 64)
CONTENT = 50_000
"""Bytes that a run sends back, as rows and details of one do."""

_SCHEDULER = """
import asyncio, sys
from distributed import Scheduler

async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(main())
"""
_WORKERS = """
import asyncio, sys
from contextlib import AsyncExitStack, nullcontext
from distributed import Worker
from mfbench.benchmarks.harness.executors.cluster import work

work._ALONE = nullcontext()  # sleeps of many workers of one process may overlap

async def main():
    async with AsyncExitStack() as stack:
        for number in range(int(sys.argv[2])):
            worker = Worker(sys.argv[1], nthreads=1, host="127.0.0.1", dashboard=False, memory_limit=0, name=number)
            await stack.enter_async_context(worker)
        print("ready", flush=True)
        await worker.finished()

asyncio.run(main())
"""


def sleep(seconds: float, tell: Tell) -> bytes:
    """Stand for a run: it tells that it is half way, and sends something back."""
    time.sleep(seconds / 2)
    tell(0.5)
    time.sleep(seconds / 2)
    return bytes(CONTENT)


def times_of(rows: Path, number: int, mean_s: float) -> np.ndarray:
    """Times of runs, drawn from stored training times and scaled to a mean, (number,) s."""
    import pandas as pd

    stored = pd.read_csv(rows).drop_duplicates("run_key")["train_wall_s"].dropna().to_numpy()
    drawn = np.random.default_rng(0).choice(stored, number)
    return np.asarray(drawn * mean_s / drawn.mean())


def least_time(times: Sequence[float], workers: int) -> float:
    """Time of runs on so many workers without any overhead, each given to the worker that is free first, s.

    It is more than their sum over the workers: at the end, most of these wait for the last runs.
    """
    free = [0.0] * workers
    for seconds in times:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


@contextmanager
def processes(workers: int) -> Iterator[tuple[str, psutil.Process, psutil.Process]]:
    """A scheduler and so many workers, in a process each: its address and the two processes."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        stream = started[-1].stdout
        assert stream is not None
        return stream.readline().strip()

    try:
        address = start(_SCHEDULER)
        start(_WORKERS, address, str(workers))
        yield address, psutil.Process(started[0].pid), psutil.Process(started[1].pid)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def measure(workers: int, times: Sequence[float], folder: Path) -> dict[str, Any]:
    """Runs of these times on so many workers: throughput, CPU time a run of each process, memory of the scheduler.

    Parameters
    ----------
    folder
        The runs are stored here.
    """
    from mfbench.benchmarks.harness.executors.cluster.executor import DaskExecutor
    from mfbench.benchmarks.harness.executors.cluster.places import RunningScheduler

    with processes(workers) as (address, scheduler, others):
        executor = DaskExecutor(RunningScheduler(address))
        list(executor.run([Job(sleep, 0.0)] * workers))  # what is imported and connected first
        mine = psutil.Process()
        before = {name: _cpu(p) for name, p in (("scheduler", scheduler), ("workers", others), ("command", mine))}
        memory, started = [scheduler.memory_info().rss], time.perf_counter()
        done = 0
        store = RunStore(folder)
        for event in executor.run([Job(sleep, float(seconds)) for seconds in times]):
            if isinstance(event, Done):
                store.put(PackedRun(digest(event.job), "finished", None, {"rows.parquet": event.value}))
                done += 1
                if done % 100 == 0:
                    memory.append(scheduler.memory_info().rss)
        wall = time.perf_counter() - started
        after = {name: _cpu(p) for name, p in (("scheduler", scheduler), ("workers", others), ("command", mine))}
    ideal = least_time(times, workers)
    return {
        "workers": workers,
        "runs": done,
        "mean_s": float(np.mean(times)),
        "wall_s": wall,
        "runs_per_s": done / wall,
        "least_s": ideal,
        "efficiency": ideal / wall,
        "overhead_ms_per_run": 1e3 * (wall - ideal) * workers / done,
        "cpu_ms_per_run": {name: 1e3 * (after[name] - before[name]) / done for name in after},
        "scheduler_mb": [memory[0] / 1e6, max(memory) / 1e6],
    }


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Throughput against workers, beside what it would be without overhead."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
    for mean in sorted({round(found["mean_s"], 3) for found in results}):
        line = [found for found in results if round(found["mean_s"], 3) == mean]
        x = [found["workers"] for found in line]
        (drawn,) = axes.plot(x, [found["runs_per_s"] for found in line], "o-", label=f"runs of {mean:g} s")
        least = [found["runs"] / found["least_s"] for found in line]
        axes.plot(x, least, ":", color=drawn.get_color(), label="without overhead")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("workers")
    axes.set_ylabel("runs per second")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Measure, print a line each, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=Path, default=Path("results/h2co/rows.csv.gz"))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--mean", type=float, action="append", help="mean time of a run, s (0.1 and 1)")
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--longest", type=float, default=120.0, help="fewer runs where they would take longer, s")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for mean in options.mean or (0.1, 1.0):
        for workers in options.workers or WORKERS:
            number = min(options.runs, max(10 * workers, round(options.longest * workers / mean)))
            with tempfile.TemporaryDirectory() as folder:
                results.append(measure(workers, times_of(options.rows, number, mean).tolist(), Path(folder)))
            last = results[-1]
            print(
                f"{workers:3d} workers, {last['runs']} runs of {mean:g} s: {last['runs_per_s']:.1f} a second, "
                f"{100 * last['efficiency']:.0f} % busy, CPU a run (ms): "
                + ", ".join(f"{name} {spent:.1f}" for name, spent in last["cpu_ms_per_run"].items())
                + f"; scheduler {last['scheduler_mb'][1]:.0f} MB",
                flush=True,
            )
            if options.out is not None:
                write_json(
                    options.out,
                    {**origin(("dask", "distributed", "tornado")), "rows": str(options.rows), "results": results},
                )
                draw(results, options.out.with_suffix(".png"))


if __name__ == "__main__":
    from mfbench.benchmarks.performance.many_workers import main as imported  # workers know jobs by this name

    imported()
